"""Talking to a running service, for the commands that do."""

import os
from typing import Any

import click
import httpx

from ..config import SERVER_VARIABLE
from .exits import Exit, fail

DEFAULT = "http://127.0.0.1:8080"

server_option = click.option(
    "--server",
    default=lambda: os.environ.get(SERVER_VARIABLE, DEFAULT),
    metavar="URL",
    help=f"The service. [{SERVER_VARIABLE}; default: {DEFAULT}]",
)


class Server:
    """A service at `url`. Its errors end the process with a sentence and the right exit code."""

    def __init__(self, url: str) -> None:
        self._url = url
        # The service answers for itself: no proxy of the environment stands in between.
        try:
            self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)
        except httpx.InvalidURL as error:
            fail(f"{url!r} is not the URL of a service: {error}", Exit.USAGE)

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The answer's JSON."""
        try:
            response = self._http.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fail(
                f"cannot reach {self._url}: {error}. Is it running (trio-jobs serve)?",
                Exit.UNREACHABLE,
            )
        if not response.is_success:
            code = Exit.NOT_FOUND if response.status_code == 404 else Exit.REFUSED
            fail(_problem(response), code)
        try:
            return response.json()
        except ValueError:
            fail(f"what answers at {self._url} is not trio_jobs", Exit.UNREACHABLE)


def _problem(response: httpx.Response) -> str:
    try:
        problem = response.json()
        faults = problem.get("errors", [])
        places = [f"{fault['pointer']}: {fault['detail']}" for fault in faults if fault["pointer"]]
        return "; ".join(places) or str(problem["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.status_code} {response.reason_phrase}"
