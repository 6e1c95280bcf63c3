"""The mock outbox: a Maildir under the data directory, which any mail program can read.

A message is written into `tmp` and renamed into `new`, under a name made from its job's id: when
the job runs again, it replaces its mail and adds no second one.
"""

import email
import heapq
import os
from collections.abc import Iterator
from email import policy
from pathlib import Path

import msgspec

from ..disk import sync_directory
from .outputs import OutputFile

HEAD = 65_536
"""Bytes of a message in which its headers are looked for."""


class OutboxMail(msgspec.Struct, frozen=True):
    """One message of the outbox. `size` is in bytes, `file` relative to the data directory."""

    message_id: str
    to: list[str]
    subject: str
    date: str
    size: int
    file: str


def deliver(data_dir: str | Path, job_id: str, message: bytes) -> int:
    """Puts the mail of a job into the outbox, on stable storage, in place of an earlier one.

    Returns the size of the file in bytes. In a Maildir, lines end with LF.
    """
    outbox = Path(data_dir) / "outbox"
    for name in ("tmp", "new", "cur"):
        (outbox / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary, final = outbox / "tmp" / f"{job_id}.{os.urandom(4).hex()}", outbox / "new" / job_id
    try:
        with OutputFile(temporary) as file:
            size = file.write(message.replace(b"\r\n", b"\n"))
            file.sync()
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for seen in (outbox / "cur").glob(f"{job_id}:*"):  # a mail program has moved it there
        seen.unlink(missing_ok=True)
    sync_directory(outbox / "new")
    return size


def list_outbox(data_dir: str | Path, limit: int = 50) -> list[OutboxMail]:
    """The newest `limit` messages, newest first; blocks, so call it in a thread."""
    outbox = Path(data_dir) / "outbox"
    newest = heapq.nlargest(limit, _messages(outbox))
    listed = (_read(data_dir, Path(path), size) for _, path, size in newest)
    return [mail for mail in listed if mail is not None]


def _messages(outbox: Path) -> Iterator[tuple[int, str, int]]:
    """Time of change, path and size of each message."""
    for name in ("new", "cur"):
        try:
            entries = os.scandir(outbox / name)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime_ns, entry.path, status.st_size
                except FileNotFoundError:  # deleted by a mail program meanwhile
                    continue


def _read(data_dir: str | Path, path: Path, size: int) -> OutboxMail | None:
    """None for what is no mail: anyone may put files into a Maildir."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        head = head.partition(b"\r\n\r\n")[0].partition(b"\n\n")[0]
        message = email.message_from_bytes(head, policy=policy.default)
        addressed = message.get_all("To", [])
        return OutboxMail(
            message_id=str(message.get("Message-ID", "")),
            to=[str(address) for line in addressed for address in line.addresses],
            subject=str(message.get("Subject", "")),
            date=str(message.get("Date", "")),
            size=size,
            file=path.relative_to(data_dir).as_posix(),
        )
    except Exception:  # gone meanwhile, or one of the many ways in which the parser fails
        return None
