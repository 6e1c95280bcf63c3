"""The list of built-in types, and the two smallest of them."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest
import trio

from trio_jobs.builtin import handlers, noop, sleep
from trio_jobs.config import Settings
from trio_jobs.errors import InvalidInput
from trio_jobs.registry import Registry

from .conftest import FakeCtx, decode, on_the_wire


def test_every_built_in_type_is_in_the_list(settings: Settings) -> None:
    registry = Registry(handlers(settings))
    assert registry.types == ["noop", "process_file", "send_email", "sleep", "webhook"]
    assert all(handler.summary for handler in registry)


def test_every_input_has_a_schema_for_the_docs(settings: Settings) -> None:
    for handler in handlers(settings):
        assert msgspec.json.schema(handler.input) is not None


async def test_noop_takes_anything() -> None:
    handler = noop.handler()
    for payload in (b"null", b"{}", b'[1,{"a":"b"}]', b'"x"'):
        assert await handler.run(handler.decode(payload), FakeCtx()) is None


async def test_sleep_sleeps_for_as_long_as_it_is_told(autojump_clock: Any) -> None:
    handler = sleep.handler()
    started = trio.current_time()
    result = await handler.run(decode(handler, {"seconds": 86_400}), FakeCtx())
    assert trio.current_time() - started == pytest.approx(86_400)
    assert on_the_wire(result) == {"slept": 86_400}


@pytest.mark.parametrize("seconds", [-1, 86_401, "1", None])
def test_sleep_refuses_what_no_one_can_wait_for(seconds: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(sleep.handler(), {"seconds": seconds})
    assert refused.value.pointer == "/seconds"


def test_what_is_rarely_needed_is_not_imported_at_the_start() -> None:
    program = "import sys, trio_jobs.builtin; print({'PIL', 'smtplib'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
