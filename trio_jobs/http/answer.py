"""What every answer has in common, whichever way it goes out: an id, standard headers, problems."""

import itertools
import logging
import re
import secrets
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from .. import __version__
from ..logs import EXTRA
from . import problems

log = logging.getLogger(__name__)

STANDARD_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Trio-Jobs-Version": __version__,
    "X-Content-Type-Options": "nosniff",
}

_GIVEN_ID = re.compile(r"[\w.:-]{1,128}\Z", re.ASCII)


class Answer(NamedTuple):
    """Status, JSON body, and headers beyond the standard ones."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    @property
    def has_body(self) -> bool:
        return self.status not in (204, 304)

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "application/json")


class RequestIds:
    """Names requests: as the client wishes (`X-Request-ID`), else by a number of our own."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def of(self, headers: Mapping[bytes, bytes]) -> str:
        """The name of the request with these headers."""
        given = headers.get(b"x-request-id")
        return self.name(given.decode("latin-1") if given else "")

    def name(self, given: str) -> str:
        return given if _GIVEN_ID.match(given) else f"{self._prefix}-{next(self._numbers)}"


def refusal(error: Exception, request_id: str) -> Answer:
    """The answer to a request that failed with `error`; a bug of ours goes to the log."""
    body = problems.problem(error, request_id)
    if body.status == problems.INTERNAL.status:
        about_it = {EXTRA: {"request_id": request_id}}
        log.error("request %s failed", request_id, exc_info=error, extra=about_it)
    return Answer(body.status, msgspec.json.encode(body), problems.headers(error))
