"""What handlers share within a worker: opened before the first job, closed after the last."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ..registry import Lifespan, Registry


@asynccontextmanager
async def opened(registry: Registry) -> AsyncIterator[dict[Lifespan, Any]]:
    """Each lifespan of the registry, entered once, and what it has yielded.

    Raises what one raises; those that are open already are closed then.
    """
    async with AsyncExitStack() as stack:
        resources: dict[Lifespan, Any] = {}
        for handler in registry:
            if handler.lifespan is not None and handler.lifespan not in resources:
                resources[handler.lifespan] = await stack.enter_async_context(handler.lifespan())
        yield resources
