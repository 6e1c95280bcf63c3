"""Where the service is, and what the client says to be let in."""

import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from ..config import SERVER_VARIABLE, TOKEN_VARIABLE, secret_of
from ..errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:8080"


class Place(NamedTuple):
    """The URL of a service, and the token for it."""

    url: str
    token: str | None

    @classmethod
    def find(cls, url: str | None, token: str | None) -> "Place":
        """What is not given is taken from the environment. Raises ConfigError."""
        url = url or os.environ.get(SERVER_VARIABLE) or DEFAULT_URL
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname)
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"{url!r} is not the URL of a service: {error}") from None
        if not fine:
            raise ConfigError(f"{url!r} is not the URL of a service: http://HOST:PORT")
        token = token or secret_of(TOKEN_VARIABLE, os.environ)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("what was given as a token is none: tj_…")
        return cls(url, token)

    def httpx_options(self) -> dict[str, Any]:
        """For both of httpx's clients. No proxy of the environment stands in between."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "trio-jobs"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        # The service keeps idle connections for 75 s: let go of them before it does.
        limits = httpx.Limits(max_keepalive_connections=100, keepalive_expiry=30)
        return {"base_url": self.url, "headers": headers, "limits": limits, "trust_env": False}
