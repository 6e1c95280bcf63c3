"""Who works: what the worker of this process takes, and how much it has to do."""

import msgspec

from ..service import Scope
from .answer import Answer
from .call import Call, Route
from .words import Name


class LimitView(msgspec.Struct):
    """How many jobs of a queue may run at a time, and do; `*` is all that are not named."""

    queue: str
    slots: int
    running: int


class WorkerView(msgspec.Struct):
    """What it takes, and how much: `slots` jobs at a time, shared out by `queues`."""

    types: list[Name]
    slots: int
    running: int
    queues: list[LimitView]


class WorkersView(msgspec.Struct):
    workers: list[WorkerView]


async def index(call: Call) -> Answer:
    """List the workers of this process: none with --no-worker, else one."""
    call.grant.demand_all("Workers")
    hands = call.service.hands()
    workers = []
    if hands is not None and hands.limits:
        queues = [
            LimitView(name, slots, hands.free(name)[1]) for name, slots in hands.limits.items()
        ]
        workers.append(
            WorkerView(
                types=sorted(hands.types),
                slots=hands.slots,
                running=hands.busy,
                queues=queues,
            )
        )
    return Answer(200, msgspec.json.encode(WorkersView(workers)))


ROUTES = (
    Route(method="GET", path="/workers", call=index, scope=Scope.READ, gives={200: WorkersView}),
)
