"""What becomes of the jobs that workers elsewhere have: they go on, or they end."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ...config import Settings
from ...errors import InvalidInput
from ...job import State
from ...metrics import Metrics
from ...redaction import Redactor
from ...storage.base import Store
from ...storage.records import Lease, Report, Settlement
from ...storage.remote import Standing
from ..grant import Grant
from ..types import Types
from .asks import Beat, Beaten, End, Ended
from .notes import notes
from .together import together
from .verdicts import Judge


class Leases:
    """Of a job, only the lease decides who may say something about it; and a `grant`, whose other
    jobs are not there.
    """

    def __init__(
        self, store: Store, types: Types, settings: Settings, metrics: Metrics, redactor: Redactor
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._redact = redactor.text
        self.judge = Judge(types, settings, redactor)

    async def beat(self, beats: Sequence[Beat], now: float, grant: Grant) -> list[Beaten]:
        """Leases go on; of those that are lost, nothing that is said counts.

        An attempt that has to end is told why, and its lease goes on no longer: should it not hear,
        the job is rescued then.
        """
        found = await self._standing([beat.lease for beat in beats], grant)
        going: defaultdict[float, list[Lease]] = defaultdict(list)
        reports, stopped = [], {}
        for beat in beats:
            job = found.get(beat.lease)
            if job is None or job.expires_at is None:
                continue
            if (stop := self.judge.stop(job, now, beat.timeout)) is None:
                going[beat.seconds].append(beat.lease)
            else:
                left = max(0.0, job.expires_at - now)
                stopped[beat.lease] = Beaten(beat.lease.id, left, stop)
            if beat.words:
                reports.append(notes(beat.lease, beat.words, job, now, self._redact))
        held = await self._write(going, reports, now)
        return [
            stopped.get(beat.lease)
            or Beaten(beat.lease.id, beat.seconds if beat.lease in held else None)
            for beat in beats
        ]

    async def end(
        self,
        ends: Sequence[End],
        now: float,
        grant: Grant,
        beside: Sequence[Callable[[], Awaitable[object]]] = (),
    ) -> list[Ended]:
        """Ends of attempts; what is to be done `beside` is in the same transaction.

        Who says the same end again hears the same: the first answer may have been lost.
        """
        if len({end.lease.id for end in ends}) < len(ends):
            raise InvalidInput("a job can end only once", "/jobs")
        found = await self._standing([end.lease for end in ends], grant)
        settlements, reports = [], []
        for end in ends:
            job = found.get(end.lease)
            if job is not None and job.held:
                verdict = self.judge.verdict(end, job, now)
                settlements.append(Settlement.of(end.lease, verdict))
                if end.words:
                    reports.append(notes(end.lease, end.words, job, now, self._redact))
        accepted: set[str] = set()

        async def settle() -> None:
            accepted.update(await self._store.settle(settlements, now, reports))

        await together(*([settle] if settlements else []), *beside)
        self._count([found[end.lease] for end in ends if end.lease.id in accepted], now)
        return await self._ended(ends, settlements, accepted, grant)

    async def _standing(self, leases: Sequence[Lease], grant: Grant) -> dict[Lease, Standing]:
        found = await self._store.standing(leases) if leases else []
        return {Lease(job.id, job.token): job for job in found if grant.covers(job.type, job.queue)}

    async def _write(
        self, going: dict[float, list[Lease]], reports: Sequence[Report], now: float
    ) -> set[Lease]:
        """Those that are held still, for as long as they wished."""
        held: set[Lease] = set()

        async def extend(seconds: float, leases: list[Lease]) -> None:
            ids = await self._store.extend(leases, now + seconds)
            held.update(lease for lease in leases if lease.id in ids)

        await together(
            *(partial(extend, seconds, leases) for seconds, leases in going.items()),
            *([partial(self._store.report, reports, now)] if reports else []),
        )
        return held

    async def _ended(
        self,
        ends: Sequence[End],
        settlements: Sequence[Settlement],
        accepted: set[str],
        grant: Grant,
    ) -> list[Ended]:
        """What each is now. Who was refused may have been the one who ended it before; and who
        would wait again may have been cancelled instead: so these are looked at once more."""
        states = {one.id: one.state for one in settlements if one.id in accepted}
        unsure = [end.lease for end in ends if not states.get(end.lease.id, State.QUEUED).final]
        found = await self._standing(unsure, grant)
        ended = []
        for end in ends:
            state, job = states.get(end.lease.id), found.get(end.lease)
            if job is not None and (state is not None or self.judge.is_again(end, job)):
                state = job.state
            ended.append(Ended(end.lease.id, state))
        return ended

    def _count(self, jobs: Sequence[Standing], now: float) -> None:
        durations: defaultdict[str, list[float]] = defaultdict(list)
        for job in jobs:
            durations[job.type].append(now - (job.started_at or now))
        for type_, seconds in durations.items():
            self._metrics.settled(type_, seconds)
        if any(job.is_limited for job in jobs):
            self._store.doorbell.ring()  # now there is room in its queue, not before
