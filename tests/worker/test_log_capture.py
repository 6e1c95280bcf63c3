"""Lines of a job are kept with it: all of them, no others, and never at the job's cost."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_jobs.executor.attempt import Attempt
from trio_jobs.registry import Ctx, Handler
from trio_jobs.worker import log_capture

from ..conftest import EPOCH, StartSystem
from .test_heartbeat import started

log = logging.getLogger("a.library")


class Unprintable:
    """Fights back when it is logged."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.fixture
def alone() -> logging.Logger:
    """A logger that only the capture hears: pytest's own handlers raise what cannot be printed."""
    logger = logging.Logger("a.lonely.library")  # it has no parent
    logger.addHandler(log_capture._capture)
    return logger


def messages_of(log_some: Any) -> list[str]:
    attempt = Attempt(job_id="id", attempt=1, max_attempts=1, timeout=1, started_at=EPOCH)
    token = log_capture.current.set(attempt)
    try:
        log_some()
    finally:
        log_capture.current.reset(token)
    said = None if attempt.diary is None else attempt.diary.take()
    return [] if said is None else [line.message for line in said.lines]


async def test_a_line_that_cannot_be_printed_does_not_fail_the_job_that_logs_it(
    alone: logging.Logger,
) -> None:
    def log_some() -> None:
        alone.warning("%d", "no number")
        alone.warning("a %s", Unprintable())
        alone.warning(Unprintable())
        alone.warning("\ud800 and \0")

    assert messages_of(log_some) == [
        "'%d' (its arguments do not fit)",
        "'a %s' (its arguments do not fit)",
        "(a line that cannot be printed)",
        "? and \0",
    ]


async def test_a_line_of_ten_megabytes_loses_its_middle(alone: logging.Logger) -> None:
    [message] = messages_of(lambda: alone.warning("<" + "x" * 10_000_000 + ">"))
    assert len(message) < 4_100
    assert message[0] + message[-1] == "<>"


@pytest.mark.parametrize("name", ["\ud800", 7, "LOUD" * 100])
async def test_a_level_of_any_name_does_not_end_the_worker(
    start_system: StartSystem, autojump_clock: MockClock, name: Any
) -> None:
    async def run(_input: object, _ctx: Ctx) -> None:
        log.log(77, "loud")

    logging.addLevelName(77, name)
    system = await start_system([Handler("loud", run)])
    id_ = await system.enqueue("loud")
    await system.until(id_)
    assert [line.message for line in await system.service.logs(id_)] == ["loud"]


async def test_what_our_own_engine_logs_about_a_job_is_not_the_jobs(
    start_system: StartSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def stubborn(_input: object, _ctx: Ctx) -> None:
        log.warning("mine")
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

    system = await start_system([Handler("stubborn", stubborn)])
    id_ = await system.enqueue("stubborn", timeout=1, max_attempts=1)
    await system.until(id_)
    assert "is stuck" in caplog.text
    assert [line.message for line in await system.service.logs(id_)] == ["mine"]


async def test_the_root_logger_is_left_as_it_was_when_the_last_worker_has_gone() -> None:
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    with log_capture.installed():
        with log_capture.installed():
            assert root.handlers.count(log_capture._capture) == 1
        assert root.handlers.count(log_capture._capture) == 1, "the other one still works"
    assert root.handlers == before


async def test_lines_that_python_would_print_without_us_are_printed_with_us_and_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    heard = logging.getLogger("a.heard.library")
    handler = logging.NullHandler()
    heard.addHandler(handler)
    with log_capture.installed():
        log.warning("nobody has configured logging")
        heard.warning("somebody hears this already")
    heard.removeHandler(handler)
    assert capsys.readouterr().err == "nobody has configured logging\n"


@pytest.mark.slow
async def test_lines_of_a_plain_handler_are_kept_those_of_its_thread(tmp_path: Path) -> None:
    def talk(_input: object, ctx: Ctx) -> str:
        ctx.progress(1, 2)
        log.warning("in %s", threading.current_thread().name != "MainThread")
        return str(ctx.cancel_reason)

    async with started(tmp_path, Handler("talk", talk)) as system:
        id_ = await system.enqueue("talk")
        job = await system.until(id_)
        assert job.result_text == '"None"'
        assert job.progress is not None
        assert [line.message for line in await system.service.logs(id_)] == ["in True"]
