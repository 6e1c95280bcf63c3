"""Schema changes, forward only: `schema/<dialect>/NNNN_what.sql`, applied in order.

Each file runs in one transaction whose first statement inserts its version row, so that two
processes migrating at once collide on the row and one of them waits. A file whose first line is
`-- breaking` cannot be used by older programs: they refuse to open what has it applied.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from ..errors import SchemaMismatch

UNFINISHED_MOVE = "unfinished_move"
UNFINISHED_MOVE_VERSION = 9_999  # more digits would not fit the label that PostgreSQL prints
"""The row by which a move keeps services from its target: how its name begins, and its number."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the schema."""

    version: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        return f"{self.version:04d}_{self.name}"

    @property
    def breaking(self) -> bool:
        return self.sql.startswith("-- breaking")


def mismatch(newer: str, known: int, where: str = "the database") -> SchemaMismatch:
    """Why a database with the breaking migration `newer` is not opened."""
    if UNFINISHED_MOVE in newer:
        return SchemaMismatch(
            f"{where} is the target of a move that has not ended: the same `trio-jobs move` "
            "goes on with it"
        )
    return SchemaMismatch(
        f"{where} has schema {newer}; this trio_jobs knows up to {known}. Upgrade trio_jobs."
    )


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """All of a dialect, oldest first; the numbers have no gap."""
    found = []
    for file in sorted(_schema(dialect).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"schema/{dialect}: the numbers of the migrations have a gap")
    return tuple(found)


def _schema(dialect: str) -> Traversable:
    """In a wheel the schema lies inside the package, in a checkout beside it."""
    package = files("trio_jobs")
    for root in (package / "schema", Path(str(package)).parent / "schema"):
        if (root / dialect).is_dir():
            return root / dialect
    raise FileNotFoundError(f"the schema for {dialect} is not installed with trio_jobs")
