"""The doorbell: "look again now". A hint, never a promise; a poll always runs beneath it."""

import trio

JOBS, CANCELS, CHANGES = "j", "c", "x"
"""Letters by which processes tell each other what to ring: there may be jobs to claim; running ones
to stop; something to tell."""


class Doorbell:
    """Rung by whoever knows of something new; heard by the one task that waits.

    Rings while nobody waits are remembered as one, so that none falls between two looks.
    """

    def __init__(self) -> None:
        self._event = trio.Event()
        self._branches: list[Doorbell] = []

    def branch(self) -> "Doorbell":
        """One more bell that rings with this one, for somebody who listens for himself."""
        bell = Doorbell()
        self._branches.append(bell)
        return bell

    def ring(self) -> None:
        self._event.set()
        for bell in self._branches:
            bell.ring()

    async def wait(self, timeout: float | None = None) -> bool:
        """True when it rang, False after `timeout` seconds of silence.

        It does not give up its turn when it has rung already: the claim for a job then still
        catches the batch that enqueues it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._event.is_set():
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await self._event.wait()
        rang = self._event.is_set()
        if rang:
            self._event = trio.Event()
        return rang
