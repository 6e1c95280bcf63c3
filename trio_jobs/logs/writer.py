"""A bounded queue and a thread that empties it, so that no log makes anybody wait."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Writer(Generic[T]):
    """Calls `write(entry, dropped)` in a thread of its own, one entry after the other.

    Entries that wait take up room, each its `size`; what comes while `room` is used up is dropped.
    `dropped` says how many that were since the entry before: once it flows again, it is known how
    much is missing. An exception of `write` counts as one more.

    The thread is a daemon: a `write` that blocks for ever must not keep the process alive.
    """

    def __init__(self, write: Callable[[T, int], None], *, room: int, name: str) -> None:
        self._write = write
        # Not a Queue: its lock is not re-entrant, and a `__del__` may log while `put` holds it.
        self._entries: SimpleQueue[tuple[T, int] | threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._room = room
        self._dropped = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to write, also what has been put before."""
        self._thread.start()

    def put(self, entry: T, size: int = 1) -> None:
        """At once, or never. From any thread."""
        with self._lock:
            if size > self._room:
                self._dropped += 1
                return
            self._room -= size
        self._entries.put((entry, size))

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put before is written; False when it is not, by then."""
        reached = threading.Event()
        self._entries.put(reached)
        return not self._stopped and reached.wait(seconds)

    def stop(self, seconds: float) -> None:
        """Write the rest, for so long, and end the thread; what is put from now on is lost."""
        self._stopped = True
        self._entries.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (item := self._entries.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            entry, size = item
            with self._lock:
                dropped, self._dropped = self._dropped, 0
            try:
                self._write(entry, dropped)
            except Exception:  # nobody is there to hear of it; the next line tells
                dropped += 1
            else:
                dropped = 0
            with self._lock:
                self._dropped += dropped
                self._room += size
