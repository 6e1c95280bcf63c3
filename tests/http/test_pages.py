"""Pages: they need no script, take nothing from elsewhere, escape what users wrote, and lead on."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from trio_jobs.http import pages, problems
from trio_jobs.http.routes import ROUTES
from trio_jobs.http.welcome import STATES
from trio_jobs.job import State
from trio_jobs.service import Scope

from .asgi import Api, Reply, opened

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
VOID = {"meta", "link", "input", "br", "img"}
STYLE = (Path(pages.__file__).parent / "static/style.css").read_text()


@pytest.fixture
async def api(tmp_path: Path, autojump_clock: object) -> AsyncIterator[Api]:
    async with opened(tmp_path) as api:
        yield api


class Page(HTMLParser):
    """A page taken apart; complains about what is not closed, and an id that is there twice."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(reply.body.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.tags.append((tag, named))
        if tag not in VOID:
            self.open.append(tag)
        if id_ := named.get("id"):
            assert id_ not in self.ids
            self.ids.add(id_)
        if href := named.get("href"):
            self.links.append(href)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ALL = ["/", "/docs", "/docs?q=cancel", "/docs?q=nothing-has-this", "/problems/invalid"]


@pytest.mark.parametrize("path", ALL)
async def test_a_page_is_well_formed_and_works_without_scripts(api: Api, path: str) -> None:
    await api.post({"type": "noop", "queue": "mail"})
    reply = await api.ask("GET", path, headers=HTML)
    page = Page(reply)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy
    for tag, attributes in page.tags:
        assert tag not in ("script", "style", "iframe")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    for place in (tag for tag, _ in page.tags if tag in ("main", "h1", "title")):
        assert [tag for tag, _ in page.tags].count(place) == 1
    labels = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    fields = {attributes.get("id") for tag, attributes in page.tags if tag == "input"}
    assert fields <= labels


@pytest.mark.parametrize("path", ALL)
async def test_every_link_leads_somewhere(api: Api, path: str) -> None:
    await api.post({"type": "noop", "queue": "mail"})
    docs = Page(await api.ask("GET", "/docs"))
    page = Page(await api.ask("GET", path, headers=HTML))
    for link in set(page.links):
        target, _, anchor = link.partition("#")
        if anchor:
            assert anchor in (docs if target == "/docs" else page).ids
        if target and not target.startswith("data:"):
            assert (await api.ask("GET", target)).status == 200, link


async def test_the_reference_has_every_call_and_finds_them(api: Api) -> None:
    page = Page(await api.ask("GET", "/docs"))
    for route in ROUTES:
        assert route.path in page.text
    found = Page(await api.ask("GET", "/docs?q=run-now"))
    assert "1 call has" in found.text
    assert "/jobs/{id}/run-now" in found.text
    assert "/queues" not in found.text
    assert "0 calls have" in Page(await api.ask("GET", "/docs?q=cancel+nowhere")).text


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=a>', "'\"&"])
async def test_what_a_user_wrote_is_shown_as_text(api: Api, evil: str) -> None:
    page = Page(await api.ask("GET", f"/docs?q={quote(evil)}"))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    [field] = (attributes for tag, attributes in page.tags if tag == "input")
    assert field["value"] == evil
    for path in ("/", "/docs"):
        page = Page(await api.ask("GET", path, headers={"Host": evil}))
        assert not {"script", "img"} & {tag for tag, _ in page.tags}
        assert evil in page.text


async def test_the_welcome_page_counts_the_jobs_of_each_queue(api: Api) -> None:
    for _ in range(3):
        await api.post({"type": "noop", "queue": "mail"})
    await api.ask("POST", "/queues/media/pause")
    page = Page(await api.ask("GET", "/"))
    rows = re.findall(r"(mail|media)( paused)?\s+((?:[\d,]+\s+){7})", page.text)
    counts = [(name, bool(paused), numbers.split()) for name, paused, numbers in rows]
    assert set(STATES) == set(State)
    assert counts == [
        ("mail", False, ["0", "3", "0", "0", "0", "0", "0"]),
        ("media", True, ["0", "0", "0", "0", "0", "0", "0"]),
    ]


@pytest.mark.parametrize(
    ("scope", "limits", "seen"),
    [
        (Scope.READ, {}, {"mail", "media"}),
        (Scope.READ, {"queues": ["mail"]}, {"mail"}),
        (Scope.READ, {"types": ["noop"]}, set()),
        (Scope.WRITE, {}, set()),
    ],
)
async def test_nobody_sees_counts_that_are_not_for_them(
    api: Api, scope: Scope, limits: dict[str, Any], seen: set[str]
) -> None:
    for queue in ("mail", "media"):
        await api.post({"type": "noop", "queue": queue})
    _, secret = await api.service.tokens.create("t", [scope], **limits)
    page = Page(await api.ask("GET", "/", headers={"Authorization": f"Bearer {secret}"}))
    assert {name for name in ("mail", "media") if f"/jobs?queue={name}" in page.links} == seen
    assert ("Queues" in page.text.partition("Look around")[0]) == bool(seen)


async def test_browsers_get_a_page_of_a_problem_and_programs_get_json(api: Api) -> None:
    for slug, kind in problems.BY_SLUG.items():
        page = Page(await api.ask("GET", f"/problems/{slug}", headers=HTML))
        assert kind.title in page.text
        for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
            reply = await api.ask("GET", f"/problems/{slug}", headers=accept)
            assert reply.json["about"] == kind.about
            assert reply.headers["vary"] == "Accept"


async def test_the_style_is_kept_by_browsers_until_it_changes(api: Api) -> None:
    [link] = {link for link in Page(await api.ask("GET", "/")).links if "style.css" in link}
    reply = await api.ask("GET", link)
    assert reply.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in reply.headers["cache-control"]
    known = {"If-None-Match": reply.headers["etag"]}
    assert (await api.ask("GET", link, headers=known)).status == 304
    plain = await api.ask("GET", "/static/style.css")
    assert (plain.body, plain.headers["cache-control"]) == (reply.body, "no-cache")


def _luminance(colour: str) -> float:
    def part(at: int) -> float:
        value = int(colour[at : at + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_what_is_written_can_be_read(theme: int) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1."""
    themes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", themes[theme]))
    for ground in ("paper", "card", "code"):
        for ink in colours.keys() - {"paper", "card", "code", "line"}:
            bright, dark = sorted(
                (_luminance(colours[ink]), _luminance(colours[ground])), reverse=True
            )
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
