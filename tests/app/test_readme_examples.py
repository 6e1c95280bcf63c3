"""The README's handlers, as files of somebody's project."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ..processes import ENVIRONMENT, running

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", README, re.DOTALL))


def run(directory: Path, *command: str) -> str:
    there = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *command], cwd=directory, env=there, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_work_as_written(tmp_path: Path) -> None:
    assert set(FILES) == {"tasks.py", "embedding.py", "test_tasks.py"}
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    assert run(tmp_path, "embedding.py") == "shop@example.com to a@example.com\n"
    assert "1 passed" in run(tmp_path, "-m", "pytest", "-p", "trio_jobs.pytest_plugin")
    with running(tmp_path, "tasks:app") as service:
        id_ = service.post("report", {"a": "b"})
        assert service.wait_for(id_, "done")["output"] == 1
