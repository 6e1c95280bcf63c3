"""An error stays in the connection where it happened."""

import trio

from .config import LOGGER

# What ends more than a connection: trio's cancellation, and the operator's Ctrl-C.
_NOT_OURS = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)


def contain(error: BaseException, what: str, quiet: tuple[type[BaseException], ...]) -> None:
    """Log `error` as `what` and go on, except for the kinds that are no news (`quiet`).

    Cancellation and KeyboardInterrupt are raised again, without the other half of their group.
    """
    theirs: BaseException | None = None
    ours: BaseException | None = error
    if isinstance(error, BaseExceptionGroup):
        theirs, ours = error.split(_NOT_OURS)
    elif isinstance(error, _NOT_OURS):
        raise error
    loud = ours
    if isinstance(ours, BaseExceptionGroup):
        loud = ours.split(quiet)[1]
    elif isinstance(ours, quiet):
        loud = None
    if loud is not None:
        LOGGER.error("%s", what, exc_info=loud)
    if theirs is not None:
        raise theirs
