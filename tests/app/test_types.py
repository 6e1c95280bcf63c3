"""What type checkers must accept and refuse; see typed/use.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = Path("tests/app/typed/use.py")
WANTED = {
    number
    for number, line in enumerate((ROOT / FILE).read_text(encoding="utf-8").splitlines(), 1)
    if line.endswith("# error")
}


def run(*command: str) -> str:
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True).stdout


@pytest.mark.timeout(120)
def test_mypy_reports_exactly_the_wrong_lines(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    said = run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull),
        *("--follow-imports", "silent", "--cache-dir", str(tmp_path), str(FILE)),
    )
    found = re.findall(rf"^{re.escape(str(FILE))}:(\d+): error: ", said, re.MULTILINE)
    assert {int(number) for number in found} == WANTED, said


@pytest.mark.timeout(120)
def test_pyright_reports_exactly_the_wrong_lines() -> None:
    pytest.importorskip("pyright")
    said = json.loads(
        run(
            sys.executable,
            "-m",
            "pyright",
            "--pythonpath",
            sys.executable,
            "--outputjson",
            str(FILE),
        )
    )
    found = {
        one["range"]["start"]["line"] + 1
        for one in said["generalDiagnostics"]
        if one["severity"] == "error"
    }
    assert found == WANTED, said["generalDiagnostics"]
