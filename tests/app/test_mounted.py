"""The HTTP API within another ASGI app: links, doors, and who may come in."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import hypercorn
import hypercorn.trio
import pytest
import trio
from hypercorn.middleware.dispatcher import TrioDispatcherMiddleware
from quart_trio import QuartTrio

from trio_jobs import Client, Jobs, Settings

URL = "http://localhost"
JSON = {"Content-Type": "application/json"}
ORDER = {"type": "double", "input": 4, "wait": 10}


def make_app() -> Jobs:
    app = Jobs(builtins=False)

    @app.job()
    async def double(n: int) -> int:
        return 2 * n

    return app


def settings(directory: Path, **more: Any) -> Settings:
    return Settings(data_dir=str(directory / "data"), **more)


class Under:
    """Mounts `app` at `prefix`, as frameworks do; the path keeps it, as ASGI says, or not."""

    def __init__(self, app: Any, prefix: str, *, keeps: bool = True, raw: bool = True) -> None:
        self.app, self.prefix, self.keeps, self.raw = app, prefix, keeps, raw

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope = {**scope, "root_path": scope["root_path"] + self.prefix}
        if not self.keeps:
            scope["path"] = scope["path"].removeprefix(self.prefix)
        if not self.raw:
            del scope["raw_path"]
        await self.app(scope, receive, send)


@asynccontextmanager
async def asking(asgi: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(asgi)
    async with httpx.AsyncClient(transport=transport, base_url=URL, **options) as http:
        yield http


@pytest.mark.parametrize("prefix", ["", "/queue", "/jobs", "/a b/ü"])
@pytest.mark.parametrize("how", [{}, {"keeps": False}, {"raw": False}])
async def test_links_lead_back_to_where_it_is_mounted(
    tmp_path: Path, prefix: str, how: dict[str, bool]
) -> None:
    app = make_app()
    shown = httpx.URL(URL + prefix).raw_path.decode().rstrip("/")
    async with (
        app.open(f"sqlite:///{tmp_path}/jobs.db", workers=True, settings=settings(tmp_path)),
        asking(Under(app.asgi(tokens=False), prefix, **how)) as http,
    ):
        made = await http.post(f"{prefix}/jobs", json=ORDER)
        assert (made.status_code, made.json()["output"]) == (201, 8), made.text
        assert made.headers["Location"] == f"{shown}/jobs/{made.json()['id']}"
        assert (await http.get(made.headers["Location"])).json()["id"] == made.json()["id"]
        await http.post(f"{prefix}/jobs", json=ORDER)
        page = await http.get(f"{prefix}/jobs?limit=1")
        link = page.links["next"]["url"]
        assert link.startswith(f"{shown}/jobs?")
        assert len((await http.get(link)).json()["jobs"]) == 1
        document = (await http.get(f"{prefix}/openapi.json")).json()
        assert document["servers"] == [{"url": shown or "/"}]
        for place in ("", "/", "/docs", "/problems/invalid"):
            html = await http.get(prefix + place, headers={"Accept": "text/html"})
            assert f'href="{shown}/static/style.css?v=' in html.text, place
            assert f'href="{shown}/docs"' in html.text
            links = re.findall(r'(?:href|action)="(/[^"]*)"', html.text)
            assert all(link.startswith(f"{shown}/") for link in links)
        assert f"{URL}{shown}/jobs" in (await http.get(f"{prefix}/docs")).text
        assert (await http.get(f"{prefix}/static/style.css")).status_code == 200
        assert (await http.get(f"{prefix}/nothing")).status_code == 404


async def test_it_is_closed_while_the_app_is(tmp_path: Path) -> None:
    app = make_app()
    asgi = app.asgi(tokens=False)
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with asking(asgi) as http:
        for _ in range(2):
            closed = await http.get("/jobs")
            assert (closed.status_code, closed.json()["detail"]) == (503, "The queue is not open.")
            async with app.open(url, settings=settings(tmp_path)):
                assert (await http.get("/jobs")).status_code == 200


async def test_whoever_comes_in_by_the_mount_needs_a_token(tmp_path: Path) -> None:
    app = make_app()
    async with (
        app.open(f"sqlite:///{tmp_path}/jobs.db", settings=settings(tmp_path)) as service,
        asking(Under(app.asgi(), "/queue")) as http,
    ):
        assert (await http.get("/queue/jobs")).status_code == 401
        assert (await http.get("/queue/livez")).status_code == 200
        _, secret = await service.tokens.create("me", ["jobs:read"])
        mine = {"Authorization": f"Bearer {secret}"}
        assert (await http.get("/queue/jobs", headers=mine)).status_code == 200
        assert (await http.post("/queue/jobs", headers=mine, json=ORDER)).status_code == 403


async def test_without_tokens_strange_names_and_pages_are_refused(tmp_path: Path) -> None:
    app = make_app()
    open_ = partial(app.open, f"sqlite:///{tmp_path}/jobs.db")
    async with asking(Under(app.asgi(tokens=False), "/queue")) as http:
        name = {"Host": "shop.example"}
        async with open_(settings=settings(tmp_path)):
            assert (await http.get("/queue/jobs", headers=name)).status_code == 403
            page = {"Origin": "http://evil.example"}
            assert (await http.post("/queue/jobs", json=ORDER, headers=page)).status_code == 403
        async with open_(settings=settings(tmp_path, allowed_hosts=("shop.example",))):
            assert (await http.get("/queue/jobs", headers=name)).status_code == 200
        async with open_(settings=settings(tmp_path, auth="required")):
            assert (await http.get("/queue/jobs")).status_code == 401


# ── within a Quart app, served by hypercorn ───────────────────────────────────────────────────


def make_site(app: Jobs, url: str, settings: Settings) -> QuartTrio:
    site = QuartTrio("site")

    @site.while_serving
    async def queue() -> AsyncIterator[None]:
        async with app.open(url, workers=True, settings=settings):
            yield

    @site.get("/")
    async def home() -> str:
        return "home"

    return site


@asynccontextmanager
async def served(asgi: Any) -> AsyncIterator[str]:
    """The URL of `asgi`, served by hypercorn; it is stopped as a signal would stop it."""
    config = hypercorn.Config()
    config.bind = ["127.0.0.1:0"]
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        serve = partial(hypercorn.trio.serve, asgi, config, shutdown_trigger=stop.wait)
        [url] = await nursery.start(serve)
        yield url
        stop.set()


async def test_a_quart_app_has_the_queue_under_a_path(tmp_path: Path) -> None:
    app = make_app()
    site = make_site(app, f"sqlite:///{tmp_path}/jobs.db", settings(tmp_path))
    asgi = TrioDispatcherMiddleware({"/queue": app.asgi(tokens=False), "": site})
    async with (
        served(asgi) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
        Client(f"{url}/queue") as jobs,
    ):
        assert (await http.get("/")).text == "home"
        made = await http.post("/queue/jobs", json=ORDER)
        assert (await http.get(made.headers["Location"])).json()["output"] == 8
        job = await jobs.enqueue("double", 21)
        assert (await jobs.wait(job.id, timeout=10)).output == 42
        with trio.fail_after(10):
            assert [event.ended async for event in jobs.events(job.id)][-1]
        strange = await http.get("/queue/jobs", headers={"Host": "evil.example"})
        assert strange.status_code == 403


async def test_whoever_sends_too_much_sees_why_it_was_refused(tmp_path: Path) -> None:
    app = make_app()
    url = f"sqlite:///{tmp_path}/jobs.db"
    much = b"[" + b" " * 5_000_000 + b"]"
    async with (
        app.open(url, settings=settings(tmp_path)) as service,
        served(TrioDispatcherMiddleware({"/open": app.asgi(tokens=False), "": app.asgi()})) as at,
        httpx.AsyncClient(base_url=at, trust_env=False) as http,
    ):
        too_large = await http.post("/open/jobs", content=much, headers=JSON)
        assert (too_large.status_code, too_large.json()["title"]) == (413, "Too large")
        assert (await http.post("/jobs", content=much, headers=JSON)).status_code == 401
        _, secret = await service.tokens.create("me", ["jobs:read"])
        mine = {"Authorization": f"Bearer {secret}", "Content-Type": "text/plain"}
        forbidden = await http.post("/jobs?type=double", content=much, headers=mine)
        assert forbidden.status_code == 403
