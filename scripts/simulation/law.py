"""The promises, held against the file after each step.

Nothing here asks the service: it reads the rows behind its back, and knows from the commits that it
has seen which lease is whose.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path
from typing import Any, TypeVar

from trio_jobs.job import CRASHES_ALLOWED, TRANSITIONS, State
from trio_jobs.storage.records import Claimed, Job, Lease, Report, Settlement
from trio_jobs.storage.write import Write
from trio_jobs.storage.writes import Claim, Rescue, Settle, Tell

from .file import File, Row
from .trace import Trace

STATES = frozenset(State)

Leased = TypeVar("Leased", Lease, Report, Settlement)


def _tokens(rows: dict[str, Row]) -> dict[str, int]:
    """Of the jobs that run: the token of each one's lease."""
    return {row.id: row.token for row in rows.values() if row.token is not None}


class Law:
    """`breach` is the first promise that was broken; `upon_breach` is called then.

    `living` tells the identities of the workers that hold their locks, `limits` how many jobs of a
    queue may run.
    """

    def __init__(
        self,
        path: Path,
        trace: Trace,
        *,
        living: Callable[[], Set[str]],
        limits: dict[str, int],
        upon_breach: Callable[[], None],
    ) -> None:
        self._file = File(path)
        self._trace = trace
        self._living = living
        self._limits = limits
        self._upon_breach = upon_breach
        self.breach: str | None = None
        self.steps = 0
        self.rows: dict[str, Row] = {}
        self._last_change = 0
        self._stands: dict[int, str] = {}  # in which state, by its changes
        self._stopping: set[int] = set()
        self._acknowledged: dict[str, list[str]] = {}
        self._refused: set[str] = set()
        self._tokens: set[int] = set()
        self._claims: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._executions: list[tuple[str, str]] = []  # by whom, of which job
        self._results: dict[str, int] = {}
        self._counted: set[int] = set()

    def close(self) -> None:
        self._file.close()

    def demand(self, holds: bool, otherwise: str) -> None:
        if not holds and self.breach is None:
            self.breach = otherwise
            self._trace.note("LAW", otherwise)
            self._upon_breach()

    # ── what clients are told ─────────────────────────────────────────────────────────────────

    def acknowledged(self, tag: str, ids: list[str]) -> None:
        """Whoever asked for `tag`, maybe more than once, was told that these are his jobs."""
        self.demand(self._acknowledged.setdefault(tag, ids) == ids, f"{tag}: two answers")
        self.demand(self.rows.keys() >= set(ids), f"{tag}: acknowledged, and not there")

    def refused(self, tag: str) -> None:
        """… that nothing was stored, and nothing will be."""
        self._refused.add(tag)
        there = any(row.tag == tag for row in self.rows.values())
        self.demand(not there, f"{tag}: refused, and stored all the same")

    def shown(self, job: Job, version: int) -> None:
        """… how a job stands, which had `version` when he asked."""
        row = self.rows[job.id]
        fresh = version <= job.version <= row.version
        self.demand(fresh, f"{row.tag}: shown at version {job.version}, was at {version}")
        same = job.version < row.version or job.state == row.state
        self.demand(same, f"{row.tag}: shown as {job.state}, and is {row.state}")

    # ── what workers do ───────────────────────────────────────────────────────────────────────

    def began(self, who: str, id_: str) -> int:
        """The number of this execution, which is to be its result."""
        self._executions.append((who, id_))
        row = self.rows[id_]
        self._trace.note(who, f"{row.tag}: execution {len(self._executions)} begins")
        began = sum(id_ == other for _, other in self._executions)
        self.demand(began <= len(self._claims[id_]), f"{row.tag}: executed without a claim")
        return len(self._executions)

    def extended(self, leases: Sequence[Lease], held: Set[str]) -> None:
        """A heartbeat has been told which of its `leases` it still holds."""
        before = self.rows
        self._look()
        right = self._fence("heartbeat", leases, held, _tokens(before))
        for id_, row in before.items():
            same = id_ in right or self.rows[id_].expires_at == row.expires_at
            self.demand(same, f"{row.tag}: a lost lease was extended")

    def committed(self, who: str, writes: Sequence[Write], answers: Sequence[Any]) -> None:
        """A transaction of a process is in the file."""
        before = self.rows
        self._note(who, writes)
        self._look()
        held = _tokens(before)
        pairs = list(zip(writes, answers, strict=True))
        for write, answer in pairs:
            if isinstance(write, Tell):
                self._fence("report", write.reports, answer, held)
        for write, answer in pairs:
            if isinstance(write, Settle):
                right = self._fence("completion", write.settlements, answer, held)
                for id_, settlement in right.items():
                    del held[id_]
                    if settlement.state is State.DONE:
                        self._counts(who, id_, int(settlement.result_text or 0))
        moments = [write.now for write in writes if isinstance(write, Rescue)]
        self._rescued(moments, [before[id_] for id_ in held])
        for write, answer in pairs:
            if isinstance(write, Claim):
                self._claimed(write.worker, answer)

    def _note(self, who: str, writes: Sequence[Write]) -> None:
        kinds = Counter(type(write).__name__ for write in writes)
        what = ", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in sorted(kinds.items()))
        self._trace.note(who, f"commits {what}")

    def _fence(
        self, what: str, asked: Sequence[Leased], accepted: Set[str], held: dict[str, int]
    ) -> dict[str, Leased]:
        """What comes by a lease that is held is accepted, and nothing else. The former, by job."""
        right = {one.id: one for one in asked if held.get(one.id) == one.token}
        for id_ in sorted(accepted ^ right.keys()):
            how = "stale, and accepted" if id_ in accepted else "right, and refused"
            self.demand(False, f"{self.rows[id_].tag}: a {what} was {how}")
        return right

    def _counts(self, who: str, id_: str, execution: int) -> None:
        tag = self.rows[id_].tag
        mine = self._executions[execution - 1] == (who, id_)
        self.demand(mine, f"{tag}: the result of another execution")
        self.demand(execution not in self._counted, f"{tag}: one execution counts twice")
        self._counted.add(execution)
        self._results[id_] = execution

    def _rescued(self, moments: Sequence[float], held: Iterable[Row]) -> None:
        """A lease that nobody has settled ends by a rescue: when it ran out, or its worker died."""
        living = self._living()
        for before in held:
            row = self.rows[before.id]
            if row.token == before.token:
                continue
            over = any((before.expires_at or 0) <= now for now in moments)
            dead = bool(moments) and before.worker not in living
            self.demand(over or dead, f"{row.tag}: its lease was taken away")

    def _claimed(self, worker: str, jobs: Sequence[Claimed]) -> None:
        for job in jobs:
            tag = self.rows[job.id].tag
            self.demand(job.lease_token not in self._tokens, f"{tag}: a lease token comes again")
            self._tokens.add(job.lease_token)
            self._claims[job.id].append((job.attempt, worker))

    # ── the file ──────────────────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Reads all that is there, and what has changed."""
        self.steps += 1
        before, self.rows = self.rows, self._file.rows()
        self._moves()
        gone = [row.tag for row in before.values() if row.id not in self.rows]
        self.demand(not gone, f"{gone}: not there any more")
        for row in self.rows.values():
            was = before.get(row.id)
            if was is None:
                self.demand(row.tag not in self._refused, f"{row.tag}: refused, and stored later")
            elif row.version <= was.version:
                moved = row.state != was.state or row.token != was.token
                self.demand(not moved, f"{row.tag}: another state, the same version")
            most = CRASHES_ALLOWED if State(row.state).final else CRASHES_ALLOWED - 1
            self.demand(row.crashes <= most, f"{row.tag}: {row.crashes} crashes, yet {row.state}")
            self.demand(self._stands[row.seq] == row.state, f"{row.tag}: nobody was told")
        self._together()

    def _moves(self) -> None:
        """Each change of state is one that the table allows."""
        tags = {row.seq: row.tag for row in self.rows.values()}
        for number, seq, event, reason in self._file.changes(self._last_change):
            self._last_change = number
            tag = tags.get(seq, f"#{seq}")
            self._trace.note("", f"{tag}: {event}{f' ({reason})' if reason else ''}")
            if event == "cancelling":
                self._stopping.add(seq)
            if event not in STATES:
                continue
            was, self._stands[seq] = self._stands.get(seq), event
            legal = was is None or event in TRANSITIONS[State(was)].values()
            self.demand(legal, f"{tag}: from {was} to {event}")
            if seq in self._stopping:
                self._stopping.discard(seq)
                self.demand(State(event).final, f"{tag}: {event}, although it was to be cancelled")

    def _together(self) -> None:
        """What holds of all jobs together."""
        rows = self.rows.values()
        told = self._file.counts()
        counts = Counter((row.queue, row.state) for row in rows)
        self.demand(told == counts, f"counted {told}, there are {dict(counts)}")
        running = [row for row in rows if row.state == State.RUNNING]
        leases = {row.token for row in running}
        self.demand(len(leases) == len(running), "two jobs share a lease")
        for queue, most in self._limits.items():
            n = sum(row.queue == queue for row in running)
            self.demand(n <= most, f"{n} jobs of the queue {queue} run")
        tags = Counter(row.tag for row in rows)
        self.demand(
            max(tags.values(), default=1) == 1, f"one order, two jobs: {tags.most_common(1)}"
        )
        keys = Counter(
            (row.type, row.unique_key)
            for row in rows
            if row.unique_key is not None and not State(row.state).final
        )
        self.demand(max(keys.values(), default=1) == 1, f"one key, two jobs: {keys.most_common(1)}")

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    @property
    def unfinished(self) -> list[str]:
        return [f"{r.tag} is {r.state}" for r in self.rows.values() if not State(r.state).final]

    def final(self) -> None:
        """When everything has come to its end."""
        self._look()
        for tag, ids in self._acknowledged.items():
            self.demand(self.rows.keys() >= set(ids), f"{tag}: lost")
        for row in self.rows.values():
            attempts = sorted(self._file.attempts(row.id))
            claims = sorted(self._claims[row.id])
            self.demand(attempts == claims, f"{row.tag}: claimed {claims}, attempts {attempts}")
            if row.state == State.DONE:
                result = self._file.result(row.seq)
                accepted = self._results[row.id]
                self.demand(result == accepted, f"{row.tag}: result {result}, accepted {accepted}")
