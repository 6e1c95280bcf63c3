"""Our words in httpx's, and httpx's errors in ours; for both of its clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .wire import Lost, Request


def arguments(request: Request) -> dict[str, Any]:
    """What `build_request` takes."""
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query or None,
        "headers": request.headers,
        "content": request.body or None,
    }


@contextmanager
def losses() -> Iterator[None]:
    """Raises Lost for what httpx says of an answer that does not come."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Lost(_said(error), sent=False) from error
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise Lost("no answer in time", sent=True, silent=True) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise Lost(_said(error), sent=True) from error


def no_answer(patience: float, *, sent: bool = True) -> Lost:
    return Lost(f"no answer within {patience:.3g} s", sent=sent, silent=True)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
