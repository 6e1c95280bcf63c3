"""How a database says that it is the unfinished target of a move.

It is a row of `schema_version`: a breaking change that no program knows. So no service opens it,
not even one of an older version, and the jobs do not run here and there.
"""

from hashlib import sha256

from ...errors import MoveRefused
from ..migrations import UNFINISHED_MOVE, UNFINISHED_MOVE_VERSION

VERSION = UNFINISHED_MOVE_VERSION
_PREFIX = f"{UNFINISHED_MOVE}_from_"


def name_of(identity: str) -> str:
    return _PREFIX + identity


def identity_of(dialect: str, born: str) -> str:
    """From the moment of its first migration: nothing else stays, and a source is not changed."""
    return sha256(f"{dialect} {born}".encode()).hexdigest()[:16]


def check_mark(found: str, source: str) -> None:
    """Raises MoveRefused unless this move is the one that was begun."""
    if found != name_of(source):
        raise MoveRefused("TO holds an unfinished move of another database: empty it first")


def check_schema(where: str, version: int, known: int) -> None:
    """Raises MoveRefused unless all its migrations are applied: older tables lack columns."""
    if version > known:
        raise MoveRefused(f"{where} has schema {version}, of a newer trio_jobs: upgrade this one")
    if version < known:
        raise MoveRefused(
            f"{where} has schema {version}, this trio_jobs needs {known}: run `trio-jobs migrate` "
            "on it first"
        )
