"""The audit of faults: what it says, and that it notices a promise that is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit_faults.py"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, **environment},
    )


def test_the_list_says_what_each_fault_is() -> None:
    lines = run("--list").stdout.splitlines()
    names = [line.split()[0] for line in lines]
    assert len(set(names)) == len(names)
    assert {"disk-full", "failed-fsync", "ctrl-c", "pg-frozen"} <= set(names)
    assert all(len(line.split()) > 3 for line in lines)


def test_a_fault_that_is_not_known_is_named() -> None:
    done = run("--only", "earthquake")
    assert done.returncode == 2
    assert "earthquake" in done.stderr


@pytest.mark.slow
def test_each_fault_is_told_with_what_was_promised_and_seen() -> None:
    done = run("--only", "sigterm-idle", "deleted")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("ok")] == [
        ["ok", "sigterm-idle"],
        ["ok", "deleted"],
    ]
    for word in ("injected", "promised", "seen"):
        assert sum(line.split()[0] == word for line in lines) == 2
    assert lines[-1] == "2 ok"


@pytest.mark.slow
def test_a_broken_promise_is_told_and_exits_with_1(tmp_path: Path) -> None:
    away = "import sys\nif 'serve' in sys.orig_argv: raise SystemExit('no service today')\n"
    (tmp_path / "sitecustomize.py").write_text(away)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = run("--only", "sigterm-idle", PYTHONPATH=path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN   sigterm-idle" in done.stdout
    assert "it did not start: SystemExit: no service today" in done.stdout


@pytest.mark.slow
def test_what_needs_a_compiler_is_skipped_without_one(tmp_path: Path) -> None:
    done = run("--only", "failed-fsync", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped  failed-fsync" in done.stdout
    assert "needs a C compiler" in done.stdout


@pytest.mark.slow
def test_guards_that_are_switched_off_are_missed() -> None:
    done = run("--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": BROKEN: ") == 3
