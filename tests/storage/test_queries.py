"""Named queries: every name once, and every query is used and runs."""

import re
from pathlib import Path

import pytest

import trio_jobs.storage
from trio_jobs.storage import queries
from trio_jobs.storage.connection import open_writer

CODE = Path(trio_jobs.storage.__file__).parent


def test_a_name_used_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.sql").write_text("-- name: a\nselect 1\n-- name: b\nselect 2\n-- name: a\n")
    monkeypatch.setattr(queries, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="named a"):
        queries.load.__wrapped__("x.sql")


def test_comments_stay_with_their_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.sql").write_text(
        "-- head\n\n-- name: a_b\n-- why\nselect 1\n\n-- name: c\nselect 2"
    )
    monkeypatch.setattr(queries, "files", lambda _: tmp_path)
    assert queries.load.__wrapped__("x.sql") == {"a_b": "-- why\nselect 1", "c": "select 2"}


def test_every_query_is_asked_for_by_name_somewhere() -> None:
    code = "".join(file.read_text() for file in CODE.glob("*.py"))
    unused = [name for name in queries.load("sqlite.sql") if not re.search(rf'"{name}"', code)]
    assert unused == ["matches_otherwise", "matches", "recount"], "parts of others, and for audits"


def test_every_query_is_understood_by_sqlite(tmp_path: Path) -> None:
    db = open_writer(tmp_path / "jobs.db", durable=False)
    sql = queries.load("sqlite.sql")
    for view in ("create_job_heads", "create_job_documents"):
        db.execute(sql[view])
    for name, query in sql.items():
        if not name.startswith("create_") and not name.startswith("matches"):
            places = [int(n) for n in re.findall(r"\?(\d+)", query)]
            count = max(places, default=query.count("?"))
            db.execute(f"explain {query}", ("[]",) * count)
    db.close()


def _statements() -> list[tuple[str, str]]:
    """Each statement of each procedure, with values in place of its arguments."""
    found = []
    script = re.sub(r"--.*", "", queries.script("sqlite_procedures.sql"))
    for name, body in re.findall(
        r"create temp trigger (\w+) .*?begin(.*?)\bend;", script, re.DOTALL
    ):
        for number, statement in enumerate(re.split(r";\s*\n", body.strip().rstrip(";"))):
            found.append((f"{name} {number + 1}", re.sub(r"\bnew\.\w+", "'[]'", statement)))
    return found


@pytest.mark.parametrize(
    "statement", [sql for _, sql in _statements()], ids=[name for name, _ in _statements()]
)
def test_no_verb_walks_through_all_jobs(tmp_path: Path, statement: str) -> None:
    db = open_writer(tmp_path / "jobs.db", durable=False)
    plan = [row[3] for row in db.execute(f"explain query plan {statement}")]
    db.close()
    scans = [step for step in plan if re.match(r"SCAN (j|k|jobs)\b", step)]
    assert all("INDEX jobs_" in step for step in scans), plan


def test_the_next_due_time_is_read_off_an_index(tmp_path: Path) -> None:
    db = open_writer(tmp_path / "jobs.db", durable=False)
    query = queries.load("sqlite.sql")["next_due"]
    plan = [row[3] for row in db.execute(f"explain query plan {query}")]
    db.close()
    assert plan == ["SEARCH jobs USING COVERING INDEX jobs_due"]
