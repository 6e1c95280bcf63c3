"""The client for Trio."""

from math import inf

from .caller import Caller
from .place import Place
from .steering import Steering
from .trio_wire import TrioWire


class Client(Steering):
    """A service, to a program on Trio. Any number of tasks may use one at the same time.

        async with Client("http://127.0.0.1:8080") as jobs:
            job = await jobs.enqueue("send_email", {"to": "test@example.com"})
            await jobs.wait(job.id, timeout=60)

    `url` and `token` are taken from TRIO_JOBS_SERVER and TRIO_JOBS_TOKEN (or the file that
    TRIO_JOBS_TOKEN_FILE names) when they are not given. `timeout` is for one call in all, whatever
    is repeated within it (seconds; None: no limit). With `coalesce`, `enqueue` calls that run at
    the same time share requests. Raises ConfigError for a URL or a token that is none.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        timeout: float | None = 30.0,
        *,
        coalesce: bool = True,
    ) -> None:
        place = Place.find(url, token)
        caller = Caller(TrioWire(place), place.url, inf if timeout is None else timeout)
        super().__init__(caller, coalesce=coalesce)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._caller.wire.close()
