"""The API, described: as an OpenAPI document, and as pages."""

from functools import cached_property

import msgspec

from .answer import Answer
from .call import Call, Route
from .openapi import describe
from .schemas import Schema


class Document:
    """Describes routes when it is first asked to."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = (
            *routes,
            Route(
                method="GET",
                path="/openapi.json",
                call=self.openapi,
                scope=None,
                gives={200: dict},
            ),
        )

    @cached_property
    def tree(self) -> Schema:
        return describe(self.routes)

    @cached_property
    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self.tree), indent=2)

    async def openapi(self, call: Call) -> Answer:
        """Get this document, OpenAPI 3.1."""
        return Answer(200, self.json)
