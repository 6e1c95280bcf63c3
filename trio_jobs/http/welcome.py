"""The first page that a browser sees: what is here, and how many jobs there are."""

from .. import __version__
from ..errors import Denied
from ..job import State
from ..service import Scope
from . import pages, views
from .answer import Answer
from .call import Call, Route

STATES = (
    State.RUNNING,
    State.QUEUED,
    State.SCHEDULED,
    State.WAITING,
    State.FAILED,
    State.DONE,
    State.CANCELLED,
)
"""What is most urgent comes first: a narrow screen does not show them all."""


async def welcome(call: Call) -> Answer:
    """Welcome a person: the queues with their jobs, and where to go from here."""
    return pages.page(
        call,
        "welcome.html",
        version=__version__,
        states=STATES,
        queues=await _queues(call),
        origin=pages.origin(call),
    )


async def _queues(call: Call) -> list[views.QueueView] | None:
    """The queues that the caller may see; None when that is none of its business."""
    try:
        call.grant.demand(Scope.READ)
        queues = await call.service.queues()
    except Denied:
        return None
    return [views.queue_view(queue, call.service) for queue in queues]


ROUTES = (Route(method="GET", path="/", call=welcome, scope=None, gives={200: pages.MEDIA_TYPE}),)
