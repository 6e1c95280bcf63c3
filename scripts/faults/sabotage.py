"""Guards of the service, and how to switch each off: for the audit's own test."""

# The name of a fault → Python that is run in the service before it starts.
SABOTAGE = {
    "deleted": "from trio_jobs.storage.file import SqliteFile; SqliteFile._check = lambda _: None",
    # A failed fsync is taken for something that passes.
    "failed-fsync": (
        "from trio_jobs.storage import connection; connection.StoreBroken = connection.Unavailable"
    ),
}
