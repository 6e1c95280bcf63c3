"""The SQL of this program, with the name of its own schema of functions in it."""

import re
from functools import cached_property
from hashlib import sha256

from ..queries import load

_SCHEMA = re.compile(r"\bprocedures\b(?=[.'])")


class Statements:
    """`sql(name)` of a query in postgres.sql; `script` makes the functions."""

    def __init__(self) -> None:
        functions = [
            sql
            for name, sql in load("postgres_procedures.sql").items()
            if name.startswith("create_")
        ]
        digest = sha256("\n".join(functions).encode()).hexdigest()
        self.schema = f"trio_jobs_{digest[:12]}"
        self.script = self._named(";\n".join([f"create schema {self.schema}", *functions]))

    def sql(self, name: str) -> bytes:
        return self._queries[name]

    @cached_property
    def _queries(self) -> dict[str, bytes]:
        texts = load("postgres.sql").items()
        return {name: _bare(self._named(sql)).encode() for name, sql in texts}

    def _named(self, sql: str) -> str:
        return _SCHEMA.sub(self.schema, sql)


def _bare(sql: str) -> str:
    """Without comments: they would travel with each call."""
    return re.sub(r"^\s*--.*\n", "", sql, flags=re.MULTILINE)
