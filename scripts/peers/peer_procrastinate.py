"""Procrastinate: jobs in PostgreSQL, handlers on asyncio."""

import harness
import on_asyncio
import phases
from procrastinate import App, PsycopgConnector

# A connection for everybody who may want one at the same time.
CONNECTIONS = 16
app = App(
    connector=PsycopgConnector(conninfo=harness.DSN, min_size=CONNECTIONS, max_size=CONNECTIONS)
)


@app.task(name="noop")
async def noop(n: float) -> None:
    harness.handled(n)


class Procrastinate(harness.Peer):
    packages = ("procrastinate", "psycopg", "psycopg-binary")
    settings = (
        f"pool of {CONNECTIONS}, LISTEN/NOTIFY, batch_defer_async, concurrency as shown; jobs kept"
    )

    async def open(self) -> None:
        await app.open_async()

    async def create(self) -> None:
        await app.schema_manager.apply_schema_async()

    async def one(self, n: float) -> None:
        await noop.defer_async(n=n)

    async def many(self, numbers: range) -> None:
        await noop.batch_defer_async(*({"n": n} for n in numbers))

    async def start(self) -> None:
        on_asyncio.spawn(
            app.run_worker_async(concurrency=harness.CONCURRENCY, install_signal_handlers=False)
        )

    async def left(self) -> int:
        row = await app.connector.execute_query_one_async(
            "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
        )
        return int(row["count"])


if __name__ == "__main__":
    phases.main(Procrastinate(), on_asyncio)
