"""The files of the schema: numbered without a gap, and found in checkout and wheel."""

from pathlib import Path

import pytest

from trio_jobs.storage import migrations as module
from trio_jobs.storage.migrations import Migration, migrations


def test_the_numbers_have_no_gap_and_the_first_is_one() -> None:
    found = migrations("sqlite")
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert found[0].label == "0001_jobs"
    assert "create table jobs" in found[0].sql


def test_a_file_says_in_its_first_line_whether_older_programs_must_stay_away() -> None:
    assert Migration(2, "x", "-- breaking\nalter table jobs …").breaking
    assert not Migration(2, "x", "-- harmless\n-- breaking").breaking


@pytest.mark.parametrize(
    "names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "0001_b.sql"]]
)
def test_a_gap_or_a_twin_is_found_before_anything_is_applied(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1")
    (tmp_path / "README.md").write_text("not a migration")
    monkeypatch.setattr(module, "_schema", lambda _: tmp_path)
    with pytest.raises(ValueError, match="gap"):
        migrations.__wrapped__("sqlite")


def test_an_unknown_dialect_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="oracle"):
        migrations("oracle")
