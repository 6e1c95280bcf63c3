"""A C library that fails when it is told to, loaded before the real one (LD_PRELOAD)."""

import mmap
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .outcome import Skipped
from .service import last_line

SOURCE = Path(__file__).with_name("shim.c")
WORDS = ("failing_syncs", "failing_writes", "full", "no_threads", "sync_delay", "clock_step")


class Shim:
    """`tell(word=number)` reaches processes that were started with `environment`, at once.

    `failing_syncs`, `failing_writes`: so many of the next ones fail with EIO. `full`: writes fail
    with ENOSPC. `no_threads`: none can be started. `sync_delay`: milliseconds. `clock_step`:
    seconds that the clock is off.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise Skipped("needs a C compiler, `cc`")
        library, orders = directory / "shim.so", directory / "orders"
        built = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"],
            capture_output=True,
            text=True,
        )
        if built.returncode:
            raise Skipped(f"the shim cannot be compiled: {last_line(built.stderr)}")
        orders.write_bytes(bytes(mmap.PAGESIZE))
        with orders.open("r+b") as file:
            self._orders = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.environment = {
            **environment,
            "LD_PRELOAD": str(library),
            "FAULT_ORDERS": str(orders),
        }

    def tell(self, **orders: int) -> None:
        for word, number in orders.items():
            struct.pack_into("i", self._orders, 4 * WORDS.index(word), number)

    def left(self, word: str) -> int:
        """How many are still to fail."""
        return int(struct.unpack_from("i", self._orders, 4 * WORDS.index(word))[0])
