"""The other side of `process`: what runs in a process of handlers.

trio-parallel calls `begin` once, then for each job `run` and `is_spent`. Only what these take and
return crosses the border: names, bytes, small plain data.
"""

import gc
import logging
import pickle
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from .. import clock
from ..importable import find
from ..job import Failed, Outcome
from ..texts import Redact
from .description import describe
from .diary import Step, savable
from .ending import failed, succeeded
from .leash import follow_parent, limited_memory
from .voice import Voice

MOST_JOBS = 1_000
"""… that a process runs before another takes its place: what handlers leak does not add up."""


class Errand(NamedTuple):
    """A job on its way to a process. `function` and `input` are of `importable`'s making.

    `params` are there for uploads; the payload is then `Ctx.upload`. `max_memory` and `max_result`
    are in bytes, `deadline` in Unix seconds, `saved` is JSON. What it says is sent under `token`.
    """

    function: str
    input: bytes
    payload: bytes
    params: dict[str, str] | None
    saved: str | None
    max_memory: int | None
    max_result: int
    job_id: str
    attempt: int
    max_attempts: int
    content_type: str
    traceparent: str | None
    deadline: float = 0.0
    token: str = ""


class Ctx:
    """`registry.Ctx` in a process: nothing asks it to stop, since it is killed."""

    cancel_reason = None
    resources = None  # those of the service cannot come along

    def __init__(self, errand: Errand, process: "_Process") -> None:
        self.job_id = errand.job_id
        self.attempt = errand.attempt
        self.max_attempts = errand.max_attempts
        self.deadline = errand.deadline
        self.upload = None if errand.params is None else errand.payload
        self.content_type = errand.content_type
        self.traceparent = errand.traceparent
        self.saved = None if errand.saved is None else msgspec.json.decode(errand.saved)
        self._process = process

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        self._process.voice.progress(Step.told(done, total, note, self._process.redact))

    def log(self, message: str, level: str = "INFO") -> None:
        self._process.voice.note(message, level)

    def save(self, value: object) -> None:
        self._process.voice.save(savable(value))
        self.saved = value

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.deadline - clock.now())

    def checkpoint(self) -> None:
        """Does nothing: this process is killed when the job is to stop."""


class _Process:
    """This process, between `begin` and its end."""

    def __init__(self, voice: Voice, redact: Redact) -> None:
        self.voice = voice
        self.redact = redact
        self.jobs = 0
        self.out_of_memory = False

    def run(self, errand: Errand) -> Outcome:
        try:
            function = find(errand.function)
        except Exception as error:  # perhaps it is being deployed just now
            return failed(error, self.redact)
        try:
            input_ = _decode(errand)
        except Exception as error:  # its payload was valid when it came; the type has changed
            return Failed(describe(error, self.redact), permanent=True)
        try:
            with limited_memory(errand.max_memory):
                result = function(input_, Ctx(errand, self))
                return succeeded(result, errand.max_result, self.redact)
        except BaseException as error:  # SystemExit and the like end an attempt, no more
            self.out_of_memory = isinstance(error, MemoryError)
            return failed(error, self.redact)


_process: _Process | None = None  # trio-parallel knows functions only, and a process has one life


def begin(path: str, redact: Redact, level: int) -> None:
    """`path` is that of the relay, `level` from where on log lines are of interest."""
    global _process
    follow_parent()
    voice = Voice(path, redact)
    root = logging.getLogger()
    root.addHandler(voice)
    root.setLevel(level)
    _process = _Process(voice, redact)
    gc.freeze()


def run(errand: Errand) -> Outcome:
    """Runs a job's handler to its end, whatever it raises."""
    assert _process is not None  # noqa: S101 - trio-parallel has called `begin`
    _process.jobs += 1
    _process.voice.begin(errand.token)
    try:
        return _process.run(errand)
    finally:
        _process.voice.end()


def is_spent() -> bool:
    """Should another process take over? It begins with all its memory in one piece."""
    return _process is None or _process.out_of_memory or _process.jobs >= MOST_JOBS


def _decode(errand: Errand) -> Any:
    if errand.params is not None:
        return msgspec.convert(errand.params, pickle.loads(errand.input), strict=False)  # noqa: S301
    return _decoder(errand.input).decode(errand.payload)


@lru_cache(maxsize=1_000)
def _decoder(input_: bytes) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(pickle.loads(input_))  # noqa: S301 - of our parent's making
