"""Job types in Python call back as well, and an app that sends no webhooks says so."""

from pathlib import Path
from typing import Any

import pytest

from trio_jobs import Jobs
from trio_jobs.errors import InvalidInput
from trio_jobs.testing import rehearsing

URL = "https://example.com/hook"


def declared(app: Jobs) -> Any:
    @app.job()
    async def nightly() -> None:
        """Does nothing."""

    return nightly


async def test_a_rehearsal_shows_who_would_be_called_back(
    tmp_path: Path, autojump_clock: object
) -> None:
    app = Jobs()
    nightly = declared(app)
    async with rehearsing(app, tmp_path) as jobs:
        handle = await nightly.enqueue(callback_url=URL, delay=60.0)
        assert await jobs.enqueued("webhook") == []
        await handle.cancel()
        [webhook] = await jobs.enqueued("webhook")
        assert (webhook.payload.url, webhook.tags) == (URL, [f"callback:{handle.id}"])


async def test_without_the_built_in_types_there_is_nobody_to_call(
    tmp_path: Path, autojump_clock: object
) -> None:
    app = Jobs(builtins=False)
    nightly = declared(app)
    async with rehearsing(app, tmp_path):
        with pytest.raises(InvalidInput, match="nobody can be called back") as caught:
            await nightly.enqueue(callback_url=URL)
    assert caught.value.pointer == "/callback_url"


async def test_a_webhook_of_ones_own_is_sent_in_place_of_ours(
    tmp_path: Path, autojump_clock: object
) -> None:
    app = Jobs(builtins=False)
    nightly = declared(app)
    sent: list[Any] = []

    @app.job()
    async def webhook(message: dict[str, Any]) -> None:
        sent.append(message)

    async with rehearsing(app, tmp_path) as jobs:
        handle = await nightly.enqueue(callback_url=URL)
        await jobs.drain()
    [message] = sent
    assert (message["url"], message["json"]["data"]["id"]) == (URL, handle.id)
