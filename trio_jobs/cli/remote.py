"""Talking to a running service, for the commands that do."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import click
import httpx

from ..config import TOKEN_VARIABLE, secret_of
from ..errors import ConfigError
from .exits import Exit, fail

SILENCE = 60.0  # seconds that a stream may say nothing; a living one pings more often


class Server:
    """A service at `url`. Its errors end the process with a sentence and the right exit code."""

    def __init__(self, url: str) -> None:
        self._url = url
        # The service answers for itself: no proxy of the environment stands in between.
        try:
            self._http = httpx.Client(
                base_url=url, timeout=30.0, trust_env=False, headers=_credentials()
            )
        except httpx.InvalidURL as error:
            fail(f"{url!r} is not the URL of a service: {error}", Exit.USAGE)
        click.get_current_context().call_on_close(self._http.close)

    def call(self, method: str, path: str, *, missing: str | None = None, **request: Any) -> Any:
        """The answer's JSON; None when it has none. `missing` is what to say of a 404."""
        try:
            response = self._http.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._unreachable(error)
        if missing is not None and response.status_code == 404:
            fail(missing, Exit.NOT_FOUND)
        _check(response)
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except ValueError:
            fail(f"what answers at {self._url} is not trio_jobs", Exit.UNREACHABLE)

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """The answer while it comes."""
        try:
            with self._http.stream(method, path, timeout=SILENCE, **request) as response:
                if not response.is_success:
                    response.read()
                _check(response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._unreachable(error)

    def _unreachable(self, error: Exception) -> NoReturn:
        fail(
            f"cannot reach {self._url}: {error}. Is it running (trio-jobs serve)?",
            Exit.UNREACHABLE,
        )


class Event(NamedTuple):
    """A server-sent event whose data is JSON."""

    id: int
    name: str
    data: dict[str, Any]


def events(answer: httpx.Response) -> Iterator[Event]:
    """The events of a stream, until it ends."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        if name:  # a line that begins with a colon is a ping
            fields[name] = value.strip()
        elif not line and "data" in fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields.clear()


def _credentials() -> dict[str, str]:
    try:
        token = secret_of(TOKEN_VARIABLE, os.environ)
    except ConfigError as error:
        fail(str(error), Exit.USAGE)
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable():
        fail(f"{TOKEN_VARIABLE} holds no token", Exit.USAGE)
    return {"Authorization": f"Bearer {token}"}


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        fail(_problem(response), Exit.NOT_FOUND if response.status_code == 404 else Exit.REFUSED)


def _problem(response: httpx.Response) -> str:
    try:
        problem = response.json()
        faults = problem.get("errors", [])
        places = [f"{fault['pointer']}: {fault['detail']}" for fault in faults if fault["pointer"]]
        return "; ".join(places) or str(problem["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.status_code} {response.reason_phrase}"
