"""The log of the service: a line per event, whatever it says and whoever does not read it."""

import json
import logging
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trio_jobs import logs
from trio_jobs.logs.handler import LogHandler
from trio_jobs.logs.lines import as_json, as_text
from trio_jobs.redaction import DEFAULT_WORDS, MASK, Redactor

log = logging.getLogger("a.library")
REDACTOR = Redactor(DEFAULT_WORDS, ["hunter2"])


class Job(NamedTuple):
    id: str = "01a2"
    type: str = "resize"
    queue: str = "media"
    attempt: int = 2


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The lines that come of what `say` logs."""

    def lines(say: Callable[[], Any], look: str = "json", level: str = "info") -> list[str]:
        file = tmp_path / "log"
        with monkeypatch.context() as alone, file.open("wb") as out:
            # pytest's own handlers raise what cannot be printed.
            alone.setattr(logging.getLogger(), "handlers", [])
            with logs.installed(out.fileno(), look=look, level=level, redactor=REDACTOR):
                say()
        text = file.read_bytes().decode()
        assert text == "" or text.endswith("\n")
        return text.split("\n")[:-1]

    return lines


def raised(error: Exception) -> Exception:
    """With a traceback."""

    def fail() -> None:
        raise error

    with suppress(type(error)):
        fail()
    return error


def test_a_line_says_when_how_bad_who_and_what(written: Callable[..., list[str]]) -> None:
    [line] = map(json.loads, written(lambda: log.warning("%d jobs", 3)))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "logger": "a.library", "message": "3 jobs"}


def test_a_line_names_the_request_and_the_job_that_it_is_about(
    written: Callable[..., list[str]],
) -> None:
    def say() -> None:
        named, running = logs.request_id.set("r-1"), logs.job.set(Job())
        log.info("both")
        logs.job.reset(running)
        logs.request_id.reset(named)
        log.info("neither")
        log.info("told", extra=logs.about(Job(attempt=3)))
        log.info("an id", extra=logs.about_id("01a3"))

    both, neither, told, an_id = map(json.loads, written(say))
    of_job = {"job_id": "01a2", "attempt": 2, "type": "resize", "queue": "media"}
    assert both.items() >= {"request_id": "r-1", **of_job}.items()
    assert neither.keys() == {"time", "level", "logger", "message"}
    assert told.items() >= {**of_job, "attempt": 3}.items()
    assert an_id["job_id"] == "01a3"


HOSTILE = [
    "two\nlines", "\x1b[2Jcleared", "a\0b", "\ud800 and \udfff", "\r\n\x85\u2028\u2029",
    "\x7f\x9b31m", "\u202eright to left", '"}\n{"level":"info"', "\x1b]0;title\x07",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("look", ["json", "pretty"])
def test_a_hostile_text_is_one_line_that_steers_no_terminal(
    written: Callable[..., list[str]], text: str, look: str
) -> None:
    def say() -> None:
        log.info(text)
        log.info("%s", text, extra={logs.EXTRA: {"path": text}})

    lines = written(say, look)
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert len(line.splitlines()) == 1
        if look == "json":
            found = json.loads(line)
            assert found["message"] == text.encode("utf-8", "replace").decode()
            assert found["level"] == "info"


def test_a_traceback_is_part_of_its_line(written: Callable[..., list[str]]) -> None:
    def say() -> None:
        log.error("it failed", exc_info=raised(ValueError("first\nsecond")))

    [line] = map(json.loads, written(say))
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("ValueError: first\nsecond")
    head, *below = written(say, "pretty")
    assert "it failed" in head
    assert all(line.startswith("    ") for line in below)
    assert "\x1b" not in head, "colours are for terminals"


def test_what_cannot_be_printed_is_a_line_all_the_same(written: Callable[..., list[str]]) -> None:
    def say() -> None:
        log.info("%d", "no number")
        log.info(Unprintable())
        log.info("%s", 1, 2, 3)
        log.error("failed", exc_info=raised(Unprintable()))
        log.info("fine", extra={logs.EXTRA: {"odd": {1, 2}, "nan": float("inf")}})

    lines = [json.loads(line) for line in written(say)]
    assert [line["message"] for line in lines] == [
        "'%d' (its arguments do not fit)",
        "(a line that cannot be printed)",
        "'%s' (its arguments do not fit)",
        "failed",
        "fine",
    ]
    assert "Unprintable" in lines[3]["traceback"]


def test_a_line_of_ten_megabytes_loses_its_middle_and_its_secrets(
    written: Callable[..., list[str]],
) -> None:
    text = "<" + "x" * 5_000_000 + "hunter2" + "y" * 5_000_000 + " password=hunter3>"
    [line] = written(lambda: log.info(text))
    assert len(line) < 20_000
    message = json.loads(line)["message"]
    assert message.startswith("<x")
    assert message.endswith(f"password={MASK}")


def test_secrets_are_in_no_line(written: Callable[..., list[str]]) -> None:
    def say() -> None:
        log.info("login with hunter2")
        log.info("sent %s", {"Authorization": "Bearer hunter3", "to": "me"})
        log.error("failed", exc_info=raised(ValueError("password=hunter4")))
        log.info("request", extra={logs.EXTRA: {"path": "/hunter2", "token": "hunter5"}})

    for look in ("json", "pretty"):
        text = "\n".join(written(say, look))
        assert "hunter" not in text
        assert text.count(MASK) >= 5


def test_what_python_would_print_by_itself_is_logged(written: Callable[..., list[str]]) -> None:
    class Final:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    def fail() -> None:
        raise ValueError("in a thread")

    def say() -> None:
        Final()
        thread = threading.Thread(target=fail, name="mine")
        thread.start()
        thread.join()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("be warned", stacklevel=1)

    finalizer, thread, warning = map(json.loads, written(say))
    assert "ValueError: in a finalizer" in finalizer["traceback"]
    assert "ValueError: in a thread" in thread["traceback"]
    assert "mine" in thread["message"]
    assert "be warned" in warning["message"]


def test_a_quiet_log_leaves_the_jobs_their_own_lines(written: Callable[..., list[str]]) -> None:
    def say() -> None:
        log.info("not here")
        assert log.isEnabledFor(logging.INFO)
        log.error("here")

    [line] = written(say, level="error")
    assert json.loads(line)["message"] == "here"


def test_logging_is_left_as_it_was(written: Callable[..., list[str]]) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("httpx").level
    assert written(lambda: log.debug("x"), level="debug") != []
    assert (root.level, root.handlers, logging.getLogger("httpx").level) == before


def test_a_terminal_gets_colours_and_a_pipe_does_not() -> None:
    event = logs.handler.Event(0.0, "ERROR", "a", "it broke", "", {"job_id": "01"})
    assert as_text(event).endswith("it broke (a) job_id=01")
    assert as_text(event, colours=True).startswith("\x1b[31m")
    assert json.loads(as_json(event))["job_id"] == "01"


def test_a_reader_who_has_gone_costs_no_more_than_the_lines() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = LogHandler(writer, as_json, REDACTOR)
    handler.handle(log.makeRecord("a", logging.INFO, "f", 1, "lost", (), None))
    handler.flush()
    handler.close()
    os.close(writer)


def test_when_it_flows_again_it_is_known_how_much_is_missing() -> None:
    reader, writer = os.pipe()
    handler = LogHandler(writer, as_json, REDACTOR, room=200_000)
    lines: list[dict[str, Any]] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as pipe:
            lines.extend(map(json.loads, pipe))

    def say(text: str) -> None:
        handler.handle(log.makeRecord("a", logging.INFO, "f", 1, text, (), None))

    for number in range(1_000):  # far more than the pipe and the room hold
        say(f"{number} " + "x" * 1_000)
    handler.flush()  # in vain, and not for ever
    reading = threading.Thread(target=read)
    reading.start()
    handler.flush()
    say("the last one")
    handler.close()
    os.close(writer)
    reading.join()
    told = [line for line in lines if "dropped" in line]
    missing = sum(line["dropped"] for line in told)
    assert 500 < missing < 1_000
    assert len(lines) - len(told) + missing == 1_001
    assert all(f"{line['dropped']}" in line["message"] for line in told)
    assert {line["level"] for line in told} == {"warning"}
    assert lines[-1]["message"] == "the last one"


def test_entries_of_a_writer_come_in_order_and_its_failures_count_as_missing() -> None:
    seen: list[tuple[int, int]] = []

    def write(entry: int, dropped: int) -> None:
        if entry == 1:
            raise OSError("disk full")
        seen.append((entry, dropped))

    writer = logs.Writer(write, room=3, name="test")
    for entry in range(5):
        writer.put(entry)
    writer.start()
    assert writer.flush(5)
    writer.put(5)
    assert writer.flush(5)
    writer.stop(5)
    assert not writer.flush(5)
    assert seen == [(0, 2), (2, 1), (5, 0)]
