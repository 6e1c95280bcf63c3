"""How long requests take, by route: an ASGI layer around the whole app.

A route is named by its template, never by the path: what clients make up is `other`.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from ..metrics import OTHER, Metrics
from .asgi import ASGI, Receive, Scope, Send

LEFT = 499  # the client went before its answer began; nginx's code for that
PARAMETER = "{}"
ROOT = "/"

RouteOf = Callable[[str, str], str]
END: None = None  # where a template ends, in a tree of steps
_Tree = dict[str | None, Any]


class Routes:
    """Which template a request belongs to. Templates are like `/jobs/{id}`."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        """`routes` are (method, template); where GET is, so is HEAD."""
        self._any: _Tree = {}
        self._trees: dict[str, _Tree] = {}
        self._deepest = 0
        for method, template in routes:
            if template == ROOT:
                continue
            self._deepest = max(self._deepest, template.count("/"))
            _plant(self._any, template)
            for asked in ("GET", "HEAD") if method == "GET" else (method,):
                _plant(self._trees.setdefault(asked, {}), template)

    def of(self, method: str, path: str) -> str:
        """The template; where the path is ours and the method is not, too. Else `other`."""
        if path == ROOT:
            return ROOT
        steps = path.split("/", self._deepest + 1)
        tree = self._trees.get(method)
        return (tree and _find(tree, steps, 1)) or _find(self._any, steps, 1) or OTHER


def _plant(tree: _Tree, template: str) -> None:
    for step in template.split("/")[1:]:
        tree = tree.setdefault(PARAMETER if step.startswith("{") else step, {})
    tree[END] = template


def _find(tree: _Tree, steps: list[str], at: int) -> str | None:
    """Words go before parameters, as in the app's own routing."""
    if at == len(steps):
        found: str | None = tree.get(END)
        return found
    step = steps[at]
    if step in tree and (template := _find(tree[step], steps, at + 1)):
        return template
    return _find(tree[PARAMETER], steps, at + 1) if step and PARAMETER in tree else None


class Measured:
    """`app`, and each of its answers counted when it has ended."""

    def __init__(self, app: ASGI, metrics: Metrics, route_of: RouteOf) -> None:
        self._app = app
        self._metrics = metrics
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        code = LEFT

        async def noting(message: dict[str, Any]) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            code = 500
            raise
        finally:
            method = scope["method"]
            route = self._route_of(method, scope["path"])
            self._metrics.answered(method, route, code, perf_counter() - start)
