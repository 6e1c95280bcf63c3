"""Never run: mypy and pyright must report each line that ends in `# error`, and no other."""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.app.example import Receipt, Sent, Thumb, import_csv, nightly, send_receipt, thumbnail
from trio_jobs import Ctx, Handle, Jobs


async def right(ctx: Ctx) -> None:
    sent: Handle[Sent] = await send_receipt.enqueue(Receipt("a@b"), delay=60, tags=["x"])
    to: str = (await sent.result(timeout=30)).to
    picture: bytes = await (await thumbnail.enqueue(Thumb(to))).result()
    rows: int = await (await import_csv.enqueue({"text": "a"})).result()
    ids: list[str] = await (await nightly.enqueue()).result()
    called: bytes = thumbnail(Thumb("a"))
    awaited: Sent = await send_receipt(Receipt("a"), ctx)
    str((picture, rows, ids, called, awaited))


async def wrong(ctx: Ctx) -> None:
    await send_receipt.enqueue(Thumb("a"))  # error
    await thumbnail.enqueue({"path": "a"})  # error
    await thumbnail.enqueue()  # error
    await nightly.enqueue(Thumb("a"))  # error
    await thumbnail.enqueue(Thumb("a"), delay="1h")  # error
    await thumbnail.enqueue(Thumb("a"), later=3)  # error
    sent = await send_receipt.enqueue(Receipt("a"))
    number: int = await sent.result()  # error
    word = (await sent.result()).nothing  # error
    thumbnail(Receipt("a"))  # error
    await send_receipt(Receipt("a"))  # error
    str((number, word))


def declared(app: Jobs) -> None:
    make: Callable[[Thumb], Coroutine[Any, Any, int]]

    @app.job(timeout="1h")  # error
    async def one(p: Thumb) -> int:
        return p.width

    @app.job(colour="red")  # error
    async def two(p: Thumb) -> int:
        return p.width

    @app.job()
    async def three(p: Thumb) -> int:
        return p.width

    make = three
    str((one, two, make))
