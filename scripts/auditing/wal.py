"""The WAL of SQLite, as strace noted it: was each job on stable storage before it was acknowledged?

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import takewhile
from math import inf

from .disk import File, Write

HEADER, FRAME_HEADER = 32, 24  # bytes
_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def committed(wals: Sequence[File]) -> dict[str, float]:
    """For each id, when the last of the transaction that brought it was written to a WAL."""
    found: dict[str, float] = {}
    for wal in wals:
        fresh: set[bytes] = set()  # in the transaction that is being written
        last = False  # is the page that comes now its last?
        for write in wal.history.changes:
            if not isinstance(write, Write) or write.offset < HEADER:
                continue
            if len(write.data) == FRAME_HEADER:
                last = write.data[4:8] != bytes(4)  # the size of the database after a commit
                continue
            fresh.update(_ID.findall(write.data))
            if last:
                for id_ in fresh:
                    found.setdefault(id_.decode(), write.span.ended)
                fresh.clear()
    return found


def order(wals: Sequence[File], acknowledged: Mapping[str, float]) -> list[str]:
    """Of the jobs that were acknowledged at these times, those that were so too early.

    An fsync of the WAL has to begin after a job was written, and to end before its answer begins.
    """
    written = committed(wals)
    syncs = sorted((sync.began, sync.ended) for wal in wals for sync in wal.history.syncs)

    def is_early(id_: str, answered: float) -> bool:
        if id_ not in written:
            return True
        later = syncs[bisect_right(syncs, (written[id_], inf)) :]
        return not any(ended < answered for _, ended in takewhile(lambda s: s[0] < answered, later))

    return [id_ for id_, answered in acknowledged.items() if is_early(id_, answered)]
