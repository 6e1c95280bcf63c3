"""The tokens resource: for admins only."""

from typing import Annotated, ClassVar

import msgspec

from ..clock import to_rfc3339
from ..errors import InvalidInput, NotFound
from ..service import Scope
from ..service.order import MAX_SECONDS
from ..service.tokens import MOST_NAMES
from ..storage.tokens import Token
from .answer import Answer
from .bodies import JSON, json_body
from .call import Call, Route
from .problems import UnsupportedMediaType
from .words import Name, Time, TokenId, says

Scopes = Annotated[
    list[Annotated[str, says(enum=[scope.value for scope in Scope])]], says(minItems=1)
]
Names = Annotated[list[Name], says(minItems=1, maxItems=MOST_NAMES)]


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`types` and `queues` limit it to jobs of these. `expires_in` is in seconds."""

    EXAMPLE: ClassVar = {"name": "mailer", "scopes": ["jobs:write"], "queues": ["mail"]}

    name: Name
    scopes: Scopes
    types: Names | None = None
    queues: Names | None = None
    expires_in: Annotated[float, says(minimum=1, maximum=MAX_SECONDS)] | None = None


class TokenView(msgspec.Struct, kw_only=True):
    """A token; `token` itself is shown once, to who makes it."""

    id: TokenId
    name: Name
    scopes: Scopes
    types: Names | None
    queues: Names | None
    created_at: Time
    expires_at: Time | None
    token: str | msgspec.UnsetType = msgspec.UNSET


class TokensView(msgspec.Struct):
    tokens: list[TokenView]


_request = msgspec.json.Decoder(TokenRequest)


async def create(call: Call) -> Answer:
    """Make a token.

    The answer has the token itself, once: only its hash is kept.
    """
    call.grant.demand_all("Tokens")
    wish = await json_body(call, _request)
    token, secret = await call.service.tokens.create(
        wish.name,
        wish.scopes,
        types=wish.types,
        queues=wish.queues,
        expires_in=wish.expires_in,
    )
    shown = token_view(token)
    shown.token = secret
    return Answer(201, msgspec.json.encode(shown), {"Location": f"{call.prefix}/tokens/{token.id}"})


async def index(call: Call) -> Answer:
    """List all tokens, by age, expired ones too."""
    call.grant.demand_all("Tokens")
    shown = [token_view(token) for token in await call.service.tokens.all()]
    return Answer(200, msgspec.json.encode(TokensView(shown)))


async def revoke(call: Call) -> Answer:
    """Revoke a token: at once here, within a second in other processes."""
    call.grant.demand_all("Tokens")
    await call.service.tokens.revoke(call.id)
    return Answer(204, b"")


def token_view(token: Token) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        scopes=token.scopes,
        types=token.types,
        queues=token.queues,
        created_at=to_rfc3339(token.created_at),
        expires_at=None if token.expires_at is None else to_rfc3339(token.expires_at),
    )


ROUTES = (
    Route(
        method="POST",
        path="/tokens",
        call=create,
        scope=Scope.ADMIN,
        takes={JSON: TokenRequest},
        gives={201: TokenView},
        tells=("Location",),
        refuses=(InvalidInput, UnsupportedMediaType),
    ),
    Route(method="GET", path="/tokens", call=index, scope=Scope.ADMIN, gives={200: TokensView}),
    Route(
        method="DELETE",
        path="/tokens/{id}",
        call=revoke,
        scope=Scope.ADMIN,
        gives={204: None},
        refuses=(NotFound,),
    ),
)
