"""What workers elsewhere send, and what they get, as JSON."""

import re
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..job import Reason
from ..service.remote import LEASE, MAX_LEASE, MIN_LEASE, MOST_JOBS, MOST_TYPES
from ..storage.records import Lease
from ..storage.remote import Directive
from .problems import Malformed
from .words import BackoffWish, Delay, Duration, JobId, Name, StateWord, Wait, says

SAMPLE = "host-1/4711"
LOST: Literal["lease-lost"] = "lease-lost"

WorkerName = Annotated[str, says(pattern="^(?!process-)[A-Za-z0-9_.:/@-]{1,100}$")]
SAMPLE_LEASE = "5f3759df2a1b4c6.60"
LeaseToken = Annotated[
    str, says(pattern=r"^[0-9a-f]{1,15}\.[0-9]{1,5}(\.[0-9]{1,3})?$", examples=[SAMPLE_LEASE])
]
Types = Annotated[list[Name], says(minItems=1, maxItems=MOST_TYPES)]
Shares = Annotated[
    dict[str, Annotated[int, says(minimum=0, maximum=MOST_JOBS)]],
    says(
        minProperties=1,
        maxProperties=MOST_TYPES,
        propertyNames={"pattern": r"^(\*|[A-Za-z0-9_.:-]{1,64})$"},
    ),
]
Most = Annotated[int, says(minimum=1, maximum=MOST_JOBS)]
LeaseTime = Annotated[float, says(minimum=MIN_LEASE, maximum=MAX_LEASE)]
Stop = Annotated[Reason, says(enum=[Reason.CANCELLED, Reason.TIMEOUT, Reason.DEADLINE])]

MEDIA_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}( ?;[ -~]{0,100})?\Z", re.ASCII)
_TOKEN = re.compile(r"([0-9a-f]{1,16})\.([0-9]{1,5}(?:\.[0-9]{1,3})?)\Z")


class WishRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Jobs of these types, from these queues (all, unless some are named); or so many of each
    queue, `*` for all others together."""

    types: Types
    queues: Types | Shares | None = None
    max: Most = 1
    lease: LeaseTime = LEASE
    wait: Wait = 0.0
    last_chance: bool = True


class ClaimRequest(WishRequest, kw_only=True):
    """… for this worker. `wait`: seconds (≤ 55) to wait for one when there is none. One of them may
    be a job that one more crash will quarantine; a careful worker runs one of those at a time, and
    says `last_chance` false meanwhile."""

    EXAMPLE: ClassVar = {
        "worker": SAMPLE,
        "types": ["resize"],
        "queues": ["media"],
        "max": 8,
        "lease": 60,
        "wait": 2,
    }

    worker: WorkerName


class LineRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    message: str
    level: str = "INFO"


class ProgressRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far a job is, in units of its own."""

    done: float
    total: float | None = None
    note: str | None = None


class WordsRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What an attempt may say at any time: how far it is, lines for its log, and what the next
    attempt is to find as `saved`."""

    progress: ProgressRequest | None = None
    logs: list[str | LineRequest] = []
    save: Raw | UnsetType = UNSET

    EXAMPLE: ClassVar = {"progress": {"done": 3, "total": 8, "note": "pages"}}


class BeatRequest(WordsRequest, kw_only=True):
    """`timeout` is how long such jobs may take, if the job does not say so itself and the service
    has no handler for its type."""

    id: JobId
    lease_token: LeaseToken
    timeout: Duration | None = None


class HeartbeatRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """At most 1,000 jobs."""

    EXAMPLE: ClassVar = {
        "worker": SAMPLE,
        "jobs": [
            {
                "id": "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d",
                "lease_token": SAMPLE_LEASE,
                "progress": {"done": 3, "total": 8},
                "logs": ["3 of 8"],
            }
        ],
    }

    worker: WorkerName
    jobs: Annotated[list[BeatRequest], says(maxItems=MOST_JOBS)]


class ErrorRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    type: str = "Failed"
    message: str = ""
    traceback: str = ""


class EndRequest(WordsRequest, kw_only=True):
    """`output` (JSON) or `result` (base64, of `content_type`) goes with done; `error`, `retry` and
    `after` with fail; `after` with snooze, too."""

    id: JobId
    lease_token: LeaseToken
    outcome: Literal["done", "fail", "release", "snooze", "cancelled"]
    output: Raw | UnsetType = UNSET
    result: bytes | UnsetType = UNSET
    content_type: str | None = None
    error: ErrorRequest | str | None = None
    retry: bool = True
    after: Delay | None = None


class SettleRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """At most 1,000 jobs. `claim` asks for the next ones in the same go."""

    EXAMPLE: ClassVar = {
        "worker": SAMPLE,
        "jobs": [
            {
                "id": "0190b8c3-7d1e-7b2a-9a3c-5e1f0a2b3c4d",
                "lease_token": SAMPLE_LEASE,
                "outcome": "done",
                "output": {"width": 320},
            }
        ],
        "claim": {"types": ["resize"], "max": 8, "wait": 2},
    }

    worker: WorkerName
    jobs: Annotated[list[EndRequest], says(maxItems=MOST_JOBS)]
    claim: WishRequest | None = None


class FailRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    EXAMPLE: ClassVar = {"error": {"type": "IOError", "message": "disk full"}, "after": 30}

    error: ErrorRequest | str | None = None
    retry: bool = True
    after: Delay | None = None


class ClaimedView(msgspec.Struct, kw_only=True):
    """`payload` is base64; `input` is the same as JSON, when it is JSON. `lease_token` goes with
    whatever is said of this attempt; in `lease_seconds` it is lost unless a heartbeat comes.
    `deadline_seconds` is when the attempt is told to stop. `timeout` (of an attempt), `backoff` and
    `expires_seconds` (until the job's own deadline) are what the job itself asks for; it was there
    for so many `crashes` of its worker."""

    id: JobId
    type: str
    queue: str
    attempt: int
    max_attempts: int
    lease_token: LeaseToken
    lease_seconds: float
    deadline_seconds: float
    timeout: float | None
    expires_seconds: float | None
    backoff: BackoffWish
    crashes: int
    payload: bytes
    input: Raw | UnsetType = UNSET
    content_type: str
    params: dict[str, str] | UnsetType = UNSET
    saved: Raw | None = None
    traceparent: str | None = None
    tags: list[str] = []


class ClaimedJobsView(msgspec.Struct):
    jobs: list[ClaimedView]
    directive: Directive


class BeatenView(msgspec.Struct, kw_only=True):
    """`cancel` says why the attempt has to end now; its lease goes on no longer then."""

    id: JobId
    ok: bool
    lease_seconds: float | UnsetType = UNSET
    cancel: Stop | UnsetType | None = UNSET
    problem: Literal["lease-lost"] | UnsetType = UNSET


class BeatenJobsView(msgspec.Struct):
    jobs: list[BeatenView]
    directive: Directive


class EndedView(msgspec.Struct, kw_only=True):
    """`state` is what the job is now."""

    id: JobId
    ok: bool
    state: StateWord | UnsetType = UNSET
    problem: Literal["lease-lost"] | UnsetType = UNSET


class SettledView(msgspec.Struct):
    settled: list[EndedView]
    jobs: list[ClaimedView]
    directive: Directive


def token_of(lease: Lease, seconds: float) -> str:
    """A lease and its length, as one word that nobody else needs to understand.

    A number of 63 bits would not do: JavaScript knows 53 of them.
    """
    length = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{lease.token:x}.{length}"


def lease_of(id_: str, token: str) -> tuple[Lease, float]:
    """… and back; Malformed for what never was one."""
    found = _TOKEN.match(token)
    if found is None or (number := int(found[1], 16)) >= 2**63:
        raise Malformed(f"A lease token is as the claim gave it, e.g. {SAMPLE_LEASE}.")
    return Lease(id_, number), min(max(float(found[2]), MIN_LEASE), MAX_LEASE)
