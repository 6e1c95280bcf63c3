"""The doorbell: a ring between two looks is not lost."""

import trio
import trio.testing

from trio_jobs.storage.doorbell import Doorbell


async def test_a_ring_while_nobody_waits_is_kept() -> None:
    bell = Doorbell()
    bell.ring()
    bell.ring()
    assert await bell.wait()
    assert not await bell.wait(0), "many rings are one"


async def test_silence_ends_after_its_time(autojump_clock: trio.testing.MockClock) -> None:
    assert not await Doorbell().wait(3)
    assert trio.current_time() == 3


async def test_whoever_waits_hears_it_at_once(autojump_clock: trio.testing.MockClock) -> None:
    bell = Doorbell()
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            assert await bell.wait(10)
            assert trio.current_time() == 2

        nursery.start_soon(listen)
        await trio.sleep(2)
        bell.ring()


async def test_a_listener_that_is_cancelled_leaves_the_ring_for_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bell = Doorbell()
    with trio.move_on_after(1):
        await bell.wait()
    bell.ring()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    assert await bell.wait(0)


async def test_a_branch_rings_too_and_is_heard_for_itself(autojump_clock: object) -> None:
    bell = Doorbell()
    branch = bell.branch()
    bell.ring()
    assert await bell.wait(0)
    assert await branch.wait(0)
    assert not await branch.wait(0)
    branch.ring()
    assert not await bell.wait(0)
