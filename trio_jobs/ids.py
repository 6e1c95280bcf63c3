"""Job ids: UUIDv7 (RFC 9562 §5.7), so that the order of ids is the order of age.

One generator per process hands out strictly increasing ids: within a millisecond the 12 bits of
`rand_a` and the top of `rand_b` serve as a counter (RFC 9562 §6.2, method 2), seeded at random and
carried into the timestamp when it overflows or when the clock steps back.
"""

import os
import time

_COUNTER_BITS = 42
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_TAIL_BITS = 32


class JobIds:
    """An endless supply of ids, e.g. `0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d`.

    The random tail is bought from the system in blocks: one `os.urandom` per id would give up the
    GIL each time (DESIGN, the GIL convoy).
    """

    def __init__(self) -> None:
        self._last = 0  # millisecond << counter bits | counter
        self._pool = b""
        self._used = 0

    def _random_32(self) -> int:
        if self._used == len(self._pool):
            self._pool, self._used = os.urandom(4096), 0
        self._used += 4
        return int.from_bytes(self._pool[self._used - 4 : self._used], "big")

    def new(self) -> str:
        stamp = (time.time_ns() // 1_000_000) << _COUNTER_BITS
        if stamp > self._last:
            # 41 bits at most: it leaves 2^41 ids before the carry.
            self._last = stamp | self._random_32() << 9
        else:
            self._last += 1
        millisecond, counter = self._last >> _COUNTER_BITS, self._last & _COUNTER_MASK
        rand_a, rand_b_head = counter >> 30, counter & ((1 << 30) - 1)
        value = (
            millisecond << 80
            | 0x7 << 76
            | rand_a << 64
            | 0b10 << 62
            | rand_b_head << _TAIL_BITS
            | self._random_32()
        )
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_job_id(text: str) -> bool:
    """True for the canonical spelling of any UUID: lower case, 36 characters."""
    if len(text) != 36 or text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
        return False
    digits = text.replace("-", "")
    return len(digits) == 32 and all(c in "0123456789abcdef" for c in digits)
