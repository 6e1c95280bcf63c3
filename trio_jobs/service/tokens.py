"""Who may ask: tokens are made, listed, revoked, and recognised."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

import trio

from .. import clock
from ..errors import InvalidInput, NotFound
from ..storage.base import Store
from ..storage.tokens import Token
from .grant import Grant, Scope
from .order import MAX_SECONDS, check_name, in_range

PREFIX = "tj_"
FRESH = 1.0
"""Seconds for which what is known of the tokens is believed: how long a revoked one may work on in
other processes."""
NEW = 0.01
"""… for a token that is not among them: another process may just have made it."""
MOST_NAMES = 100


class Tokens:
    """The secret of a token is shown once, when it is made; only its SHA-256 is kept."""

    def __init__(self, store: Store, now: clock.Now) -> None:
        self._store = store
        self._now = now
        self._known: dict[bytes, Token] = {}
        self._read_at = float("-inf")
        self._changes = 0  # of our own
        self._reading = trio.Lock()

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        types: Sequence[str] | None = None,
        queues: Sequence[str] | None = None,
        expires_in: float | None = None,
    ) -> tuple[Token, str]:
        """The token and its secret. Raises InvalidInput. `expires_in` is in seconds."""
        check_name("a name", name, "/name")
        if not scopes:
            raise InvalidInput(f"a token needs a scope: {', '.join(Scope)}", "/scopes")
        for index, scope in enumerate(scopes):
            if scope not in set(Scope):
                raise InvalidInput(f"a scope is one of {', '.join(Scope)}", f"/scopes/{index}")
        for what, names in (("types", types), ("queues", queues)):
            if names is not None and not 1 <= len(names) <= MOST_NAMES:
                raise InvalidInput(f"{what} has 1 to {MOST_NAMES} names", f"/{what}")
            for index, one in enumerate(names or ()):
                check_name("a name", one, f"/{what}/{index}")
        in_range("expires_in", expires_in, 1, MAX_SECONDS)
        secret = PREFIX + secrets.token_urlsafe(32)
        now = self._now()
        token = Token(
            id=f"tok_{secrets.token_hex(6)}",
            hash=_digest(secret).hex(),
            name=name,
            scopes=sorted(set(scopes)),
            types=None if types is None else sorted(set(types)),
            queues=None if queues is None else sorted(set(queues)),
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
        )
        await self._store.add_token(token)
        self._forget()
        return token, secret

    async def all(self) -> list[Token]:
        """All of them, by age, expired ones too."""
        return await self._store.tokens()

    async def revoke(self, id_: str) -> None:
        """Raises NotFound. Here it holds at once, in other processes within a second."""
        if not await self._store.remove_token(id_):
            raise NotFound(f"There is no token {id_}.")
        self._forget()

    async def recognise(self, secret: str) -> Grant | None:
        """What the owner of `secret` may do; None when it is no good, whatever the reason."""
        digest = _digest(secret)
        await self._read(FRESH if digest in self._known else NEW)
        token = self._known.get(digest)
        # The look-up compares hashes, of which nobody can choose the beginning; this compares all.
        if token is None or not hmac.compare_digest(bytes.fromhex(token.hash), digest):
            return None
        if self._is_over(token):
            return None
        return Grant(
            token.id,
            frozenset(map(Scope, token.scopes)),
            None if token.types is None else frozenset(token.types),
            None if token.queues is None else frozenset(token.queues),
        )

    async def holds(self, grant: Grant) -> bool:
        """Is the token of `grant` still good? For those who stay long."""
        if not grant.id:
            return True
        await self._read(FRESH)
        return any(
            token.id == grant.id and not self._is_over(token) for token in self._known.values()
        )

    def _is_over(self, token: Token) -> bool:
        return token.expires_at is not None and token.expires_at <= self._now()

    async def _read(self, fresh: float) -> None:
        if trio.current_time() - self._read_at <= fresh:
            return
        async with self._reading:
            if trio.current_time() - self._read_at > fresh:
                changes = self._changes
                tokens = await self._store.tokens()
                self._known = {bytes.fromhex(token.hash): token for token in tokens}
                if changes == self._changes:  # else it may be from before
                    self._read_at = trio.current_time()

    def _forget(self) -> None:
        self._changes += 1
        self._read_at = float("-inf")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
