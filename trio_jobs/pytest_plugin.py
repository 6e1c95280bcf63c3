"""The pytest plugin: the fixture `jobs`, for tests with pytest-trio.

    @pytest.fixture
    def jobs_app():  # in conftest.py
        return tasks.app

    async def test_thumbnails(jobs, autojump_clock):
        assert (await jobs.run(tasks.thumbnail, Thumb("a.png"))).result == b"a.png@320"

`autojump_clock` is pytest-trio's virtual time, which sees only what the test itself asks for.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def jobs_app() -> Any:
    """The app under test: a fixture for you to replace."""
    pytest.fail("the fixture `jobs` needs yours named `jobs_app`, which returns your Jobs")


@pytest.fixture
async def jobs(jobs_app: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """A `trio_jobs.testing.Rehearsal` of `jobs_app`."""
    from .testing import rehearsing

    async with rehearsing(jobs_app, tmp_path) as rehearsal:
        yield rehearsal
