"""Both clients behind one face, and a service for them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import trio

from trio_jobs.client import Client, SyncClient

from ..processes import Service, running

NOBODY = "01a20c60-4e0f-7002-baaa-e48ca591f707"
"""The id of no job."""

_END = object()


async def until(look: Callable[[], Any]) -> None:
    """Returns as soon as `look` sees it; what happens in the service raises no event here."""
    with trio.fail_after(20):
        while not look():  # noqa: ASYNC110
            await trio.sleep(0.01)


class InThread:
    """A SyncClient as if it were a Client: each call blocks a thread of its own."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name in ("list", "events"):
            return lambda *args, **options: StepsInThread(call(*args, **options))

        async def in_thread(*args: Any, **options: Any) -> Any:
            return await _blocking(call, *args, **options)

        return in_thread


class StepsInThread:
    def __init__(self, steps: Any) -> None:
        self._steps = steps

    def __aiter__(self) -> "StepsInThread":
        return self

    async def __anext__(self) -> Any:
        item = await _blocking(next, self._steps, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> "StepsInThread":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._steps.close()


async def _blocking(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    limiter = trio.CapacityLimiter(1)  # as many threads as there are calls
    return await trio.to_thread.run_sync(partial(call, *args, **options), limiter=limiter)


@pytest.fixture(params=["Client", "SyncClient"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Makes clients of one kind; they are closed at the end."""
    async with AsyncExitStack() as stack:

        def connect(*args: Any, **options: Any) -> Any:
            if request.param == "SyncClient":
                client = SyncClient(*args, **options)
                stack.callback(client.close)
                return InThread(client)
            jobs = Client(*args, **options)
            stack.push_async_callback(jobs.aclose)
            return jobs

        yield connect


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def jobs(connect: Callable[..., Any], service: Service) -> Any:
    return connect(service.url)


@pytest.fixture
def queue() -> str:
    """A queue that no other test knows."""
    return f"q{uuid4().hex[:12]}"


@pytest.fixture
def count(service: Service, queue: str) -> Callable[[], int]:
    """How many jobs the service has in the queue of this test."""
    return lambda: sum(service.http.get(f"/queues/{queue}").json()["jobs"].values())
