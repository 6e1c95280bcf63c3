"""The metrics resource: what this process has counted, and how the queues and its worker stand."""

import platform
from collections.abc import Mapping, Sequence
from itertools import product

import trio

from .. import __version__
from ..errors import Unavailable
from ..job import State
from ..metrics import OTHER, Distribution, Family, Labels, Metrics, families
from ..service import Hands, Scope, Service
from ..storage.watching import QueueInfo
from .answer import Answer
from .call import Call, Route

OPENMETRICS = "application/openmetrics-text"

Gauges = dict[Family, dict[Labels, float]]
Numbers = Mapping[Family, Mapping[Labels, float]]
Distributions = Mapping[Family, Mapping[Labels, Distribution]]


async def expose(call: Call) -> Answer:
    """Show the metrics, as Prometheus reads them.

    OpenMetrics for those who ask for it. While the database cannot be read, what is known without
    it comes all the same.
    """
    call.grant.demand_all("The metrics")
    service = call.service
    numbers: Numbers = {
        **await _queues(service),
        families.BUILD: {(__version__, platform.python_version()): 1},
        **service.metrics.counts(),
        **_worker(service.hands(), draining=service.draining),
    }
    text, content_type = await trio.to_thread.run_sync(
        _render, numbers, service.metrics.distributions(), _is_openmetrics(call.header(b"accept"))
    )
    return Answer(200, text, {"Content-Type": content_type})


def _render(numbers: Numbers, times: Distributions, openmetrics: bool) -> tuple[bytes, str]:
    # Imported here, in the thread: it takes 0.1 s, and most processes are never asked.
    from .exposition import render

    return render(numbers, times, openmetrics=openmetrics)


def _is_openmetrics(accept: str) -> bool:
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return OPENMETRICS in kinds


def _worker(hands: Hands | None, *, draining: bool) -> Gauges:
    if hands is None or not hands.limits:
        return {families.WORKERS: {(): 0}}
    busy = hands.busy
    idle = 0 if draining else max(hands.slots - busy, 0)
    slots: dict[Labels, float] = {("busy",): busy, ("idle",): idle, ("stuck",): hands.stuck}
    return {families.WORKERS: {(): 1}, families.SLOTS: slots}


async def _queues(service: Service) -> Gauges:
    try:
        queues = await service.queues()
    except Unavailable:
        return {}
    return queue_gauges(queues, service.metrics, service.now())


def queue_gauges(queues: Sequence[QueueInfo], metrics: Metrics, now: float) -> Gauges:
    """Sums of those that share a label, and of their ages the greatest.

    Queues that were there once show zeros: a line that ends looks like a process that died.
    """
    labels = [metrics.queue(queue.name) for queue in queues]
    names = {*metrics.queues, *labels}
    jobs: dict[Labels, float] = {(name, str(state)): 0 for name, state in product(names, State)}
    latency: dict[Labels, float] = {(name,): 0 for name in names}
    paused: dict[Labels, float] = {(name,): 0 for name in names}
    for label, queue in zip(labels, queues, strict=True):
        for state, n in queue.counts.items():
            jobs[label, str(state)] += n
        if queue.oldest_due is not None:
            latency[(label,)] = max(latency[(label,)], now - queue.oldest_due)
        if queue.paused_at is not None and label != OTHER:
            paused[(label,)] = 1
    return {
        families.QUEUE_JOBS: jobs,
        families.QUEUE_LATENCY: latency,
        families.QUEUE_PAUSED: paused,
    }


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        call=expose,
        scope=Scope.READ,
        gives={200: {"text/plain": str, OPENMETRICS: str}},
    ),
)
