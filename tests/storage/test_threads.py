"""Threads of the store: that there may be none is no bug of ours."""

import pytest

from trio_jobs.errors import Unavailable
from trio_jobs.storage.threads import in_thread


def fail_with(message: str) -> None:
    raise RuntimeError(message)


async def test_a_thread_that_cannot_be_started_is_nobodys_fault_and_passes() -> None:
    with pytest.raises(Unavailable, match="no more threads"):
        await in_thread(fail_with, "can't start new thread")
    with pytest.raises(RuntimeError, match="something else"):
        await in_thread(fail_with, "something else")
