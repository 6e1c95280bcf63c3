"""How the process ends, and the one way to say why."""

from enum import IntEnum
from typing import NoReturn

import click


class Exit(IntEnum):
    """Exit codes; 0 is success."""

    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    JOB_FAILED = 6
    TIMED_OUT = 7
    STORE_BROKEN = 70
    INTERRUPTED = 130


def fail(message: str, code: Exit = Exit.ERROR) -> NoReturn:
    """Says `message` on stderr and exits with `code`."""
    click.echo(f"trio-jobs: {message}", err=True)
    raise SystemExit(int(code))
