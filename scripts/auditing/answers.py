"""The HTTP answers that a server gave, as strace noted them, and what they promise."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .strace import Call, Unusable

Json = Any


class Answer(NamedTuple):
    """`began`: when the first of it was about to be sent, a line of the record."""

    began: float
    status: int
    body: bytes


class Connections:
    """What a server sent over each of its sockets."""

    def __init__(self) -> None:
        self._sent: dict[str, list[tuple[float, bytes]]] = {}

    def take(self, call: Call) -> None:
        """The next call that has ended."""
        if call.writes and call.result and call.file.startswith("socket:"):
            piece = call.span.began, call.data[: call.result]
            self._sent.setdefault(call.file, []).append(piece)

    def answers(self) -> list[Answer]:
        """All of them, in the order in which they began."""
        found: list[Answer] = []
        for pieces in self._sent.values():
            if pieces[0][1].startswith(b"HTTP/1.1 "):  # else it is what wakes a thread
                found.extend(_parsed(pieces))
        return sorted(found)


def _parsed(pieces: list[tuple[float, bytes]]) -> Iterator[Answer]:
    """Those of one connection."""
    text = b""
    for began, data in pieces:
        if not text:
            start = began
        text += data
        while b"\r\n\r\n" in text:
            head, _, rest = text.partition(b"\r\n\r\n")
            status, length = _head(head)
            if len(rest) < length:
                break
            yield Answer(start, status, rest[:length])
            text, start = rest[length:], began


def _head(head: bytes) -> tuple[int, int]:
    """Status and length of the body."""
    first, *lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines)
    if b"content-length" not in fields:
        raise Unusable(f"an answer whose length is not in its head: {first!r}")
    return int(first.split()[1]), int(fields[b"content-length"])


@dataclass
class Promises:
    """By the ids of jobs: when it was said that a job is stored, and that it is done with what."""

    stored: dict[str, float] = field(default_factory=dict)
    done: dict[str, tuple[float, Json]] = field(default_factory=dict)


def promises(given: Iterable[Answer]) -> Promises:
    """What was promised when for the first time. Looks at 201s, and at jobs that a 200 shows."""
    found = Promises()
    for answer in given:
        if answer.status not in (200, 201):
            continue
        shown = json.loads(answer.body)
        for job in shown.get("jobs", [shown]):
            if answer.status == 201:
                found.stored.setdefault(job["id"], answer.began)
            if job.get("state") == "done":
                found.done.setdefault(job["id"], (answer.began, job["output"]))
    return found
