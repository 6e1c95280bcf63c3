"""What handlers in other processes say, brought back to their attempts here.

A Unix socket in a directory of our own; each process connects once, see `voice`.
"""

import logging
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path

import msgspec
import trio

from .attempt import Attempt
from .diary import Step
from .voice import At, Begins, Ends, Logged, Noted, Saved, Words

log = logging.getLogger(__name__)

CHUNK = 65_536
_decoder = msgspec.json.Decoder(Words)


class Ear:
    """Listens for one attempt. `ended` is set when all that its job had to say is there."""

    def __init__(self, attempt: Attempt) -> None:
        self.token = secrets.token_hex(16)
        self.ended = trio.Event()
        self._attempt = attempt
        self._context = copy_context()  # what is logged is about this job, and kept with it

    def hear(self, word: Words) -> None:
        match word:
            case At(done, total, note):
                self._attempt.open_diary().step = Step(done, total, note)
            case Logged():
                self._context.run(_log, word)
            case Noted(level, message):
                self._attempt.log(message, level)
            case Saved(text):
                self._attempt.open_diary().saved = text
            case Ends(lost):
                if lost:
                    self._attempt.open_diary().lines_lost += lost
                self.ended.set()


class Relay:
    """Attempts that wait for their words, by the token that was sent with the job."""

    def __init__(self) -> None:
        self._ears: dict[str, Ear] = {}

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listens until cancelled; tells the path to connect to."""
        with tempfile.TemporaryDirectory(prefix="trio-jobs-") as directory:  # mode 0700
            path = str(Path(directory, "relay"))
            with trio.socket.socket(socket.AF_UNIX) as listening:
                await listening.bind(path)
                listening.listen()
                serve = partial(trio.serve_listeners, self._read)
                async with trio.open_nursery() as nursery:
                    await nursery.start(serve, [trio.SocketListener(listening)])
                    task_status.started(path)

    @contextmanager
    def listening(self, attempt: Attempt) -> Iterator[Ear]:
        """Inside, the ear hears what is said under its token."""
        ear = Ear(attempt)
        self._ears[ear.token] = ear
        try:
            yield ear
        finally:
            del self._ears[ear.token]

    async def _read(self, stream: trio.SocketStream) -> None:
        """One process, until it has ended; a job that it leaves unfinished has spoken as well."""
        ear: Ear | None = None
        rest = b""
        try:
            async with stream:
                while chunk := await stream.receive_some(CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for word in map(_decoder.decode, lines):
                        if isinstance(word, Begins):
                            ear = self._ears.get(word.token)
                        elif ear is not None:
                            ear.hear(word)
        except (OSError, trio.BrokenResourceError):
            pass  # it was killed
        except Exception:  # other processes and jobs are to be heard all the same
            log.exception("cannot understand what a job says")
        finally:
            if ear is not None:
                ear.ended.set()


def _log(word: Logged) -> None:
    """As if it had been logged here; a logger that wants less than there hears less."""
    logger = logging.getLogger(word.logger)
    if not logger.isEnabledFor(word.level):
        return
    record = logger.makeRecord(word.logger, word.level, "", 0, word.message, (), None)
    record.levelname, record.created = word.level_name, word.at
    record.exc_text = word.traceback or None
    logger.handle(record)
