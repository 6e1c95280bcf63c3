"""The record of a token."""

import msgspec


class Token(msgspec.Struct, array_like=True, frozen=True):
    """`hash` is the SHA-256 of what its owner has, in hex. Times are Unix seconds.

    `types` and `queues` limit it to jobs of these; None does not. `expires_at` None: never.
    """

    id: str
    hash: str
    name: str
    scopes: list[str]
    types: list[str] | None
    queues: list[str] | None
    created_at: float
    expires_at: float | None
