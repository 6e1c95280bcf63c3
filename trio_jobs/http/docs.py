"""The API, described: as an OpenAPI document, and as a page for people."""

from functools import cached_property

import msgspec

from . import pages, reference
from .answer import Answer
from .call import Call, Param, Route
from .openapi import describe
from .schemas import Schema


class Document:
    """Describes `routes`, and the calls that show them, when it is first asked to."""

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
            Route(
                method="GET",
                path="/docs",
                call=self.docs,
                scope=None,
                query=(Param("q", str, "Only calls in which all these words are found."),),
                gives={200: pages.MEDIA_TYPE},
            ),
        )

    @cached_property
    def tree(self) -> Schema:
        """The OpenAPI document."""
        return describe(self.routes)

    @cached_property
    def json(self) -> bytes:
        """… as it is served."""
        return msgspec.json.format(msgspec.json.encode(self.tree), indent=2)

    @cached_property
    def _types(self) -> list[reference.Type]:
        return reference.types(self.tree)

    async def openapi(self, call: Call) -> Answer:
        """Get this document, OpenAPI 3.1."""
        if call.prefix:
            tree = self.tree | {"servers": [{"url": call.prefix}]}
            return Answer(200, msgspec.json.format(msgspec.json.encode(tree), indent=2))
        return Answer(200, self.json)

    async def docs(self, call: Call) -> Answer:
        """Read the API's reference, with examples to copy."""
        search = call.query().get("q", "").strip()
        nouns = reference.nouns(self.tree, pages.origin(call), search)
        return pages.page(
            call,
            "docs.html",
            about=self.tree["info"]["description"],
            version=self.tree["info"]["version"],
            search=search,
            found=sum(len(noun.entries) for noun in nouns),
            nouns=nouns,
            types=self._types,
            names={type_.name for type_ in self._types},
        )
