"""The example of the README's beginning, completed."""

import csv
import logging
from collections.abc import AsyncGenerator

import httpx
import msgspec

from trio_jobs import Ctx, Fail, Jobs, Retry, Snooze

app = Jobs()
log = logging.getLogger(__name__)


class Thumb(msgspec.Struct):
    path: str
    width: int = 320


class Receipt(msgspec.Struct):
    to: str
    order: int = 0


class Sent(msgspec.Struct):
    to: str
    attempt: int


@app.lifespan
async def resources() -> AsyncGenerator[dict[str, httpx.AsyncClient], None]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        yield {"http": http}


@app.job(
    "thumbnail",
    queue="media",
    priority=5,
    timeout=60,
    concurrency=1,
    keep="7d",
    isolation="process",
)
def thumbnail(p: Thumb) -> bytes:
    """A small picture."""
    return f"{p.path}@{p.width}".encode()


@app.job("import_csv", timeout=600, aliases=["old.import"])
def import_csv(p: dict[str, str], ctx: Ctx) -> int:
    n = 0
    for n, _ in enumerate(csv.reader(p["text"].splitlines()), 1):
        ctx.progress(n, 1000, "rows")
        ctx.checkpoint()
    return n


@app.job(max_attempts=8, unique=lambda p: p.to)
async def send_receipt(p: Receipt, ctx: Ctx) -> Sent:
    if p.to == "nobody":
        raise Fail("there is nobody")
    if p.to == "later" and ctx.attempt < 8:
        raise Retry("not yet", after=4 * 86_400)
    if p.to == "busy":
        raise Snooze(60)
    assert isinstance(ctx.resources["http"], httpx.AsyncClient)
    log.info("sent to %s", p.to)
    return Sent(p.to, ctx.attempt)


@app.job()
async def nightly(ctx: Ctx) -> list[str]:
    made = [await send_receipt.enqueue(Receipt(to)) for to in ("a@b", "c@d")]
    return [job.id for job in made]
