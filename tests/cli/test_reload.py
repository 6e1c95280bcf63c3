"""`trio-jobs serve --reload`: edits, mistakes, and ends without orphans."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from trio_jobs.cli.source_files import changed, look

from ..processes import ENVIRONMENT, SERVE, Service, running, until

TASKS = """
import trio
from words import WORD
from trio_jobs import Jobs

app = Jobs()

@app.job()
async def say() -> str:
    return WORD

@app.job()
async def slow() -> None:
    await trio.sleep(60)
"""


def prepare(directory: Path) -> None:
    (directory / "tasks.py").write_text(TASKS)
    (directory / "words.py").write_text("WORD = 'before'\n")


def child_of(service: Service) -> int:
    threads = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    [child] = " ".join(thread.read_text() for thread in threads).split()
    return int(child)


def is_gone(pid: int) -> bool:
    """Not even a zombie, of whatever parent, is there."""
    return not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


def follow(service: Service, starts: int) -> None:
    """To the address of the `starts`-th start."""
    urls = until(
        lambda: (
            found
            if len(found := re.findall(r"serving on (http://[^\s\"]+)", service.log)) == starts
            else None
        )
    )
    service.http.base_url = urls[-1]


def said(service: Service) -> object:
    return service.wait_for(service.post("say"), "done")["output"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_an_edit_starts_it_again_and_a_mistake_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ENVIRONMENT, "PYTHONDONTWRITEBYTECODE", raising=False)
    prepare(tmp_path)
    with running(tmp_path, "tasks:app", "--reload") as service:
        assert said(service) == "before"
        (tmp_path / "words.py").write_text("WORD = 'after it'\n")
        follow(service, 2)
        assert said(service) == "after it"
        assert "starting again: words.py changed" in service.log
        when = int((tmp_path / "words.py").stat().st_mtime)
        (tmp_path / "words.py").write_text("WORD = 'after me'\n")  # as long, in the same second
        os.utime(tmp_path / "words.py", (when, when))
        follow(service, 3)
        assert said(service) == "after me"
        (tmp_path / "words.py").write_text("WORD = \n")
        until(lambda: "the service has ended (1)" in service.log)
        assert "SyntaxError: invalid syntax" in service.log
        (tmp_path / "words.py").write_text("WORD = 'mended'\n")
        follow(service, 4)
        assert said(service) == "mended"
        child = child_of(service)
        service.signal(signal.SIGINT)
        assert service.exit_code() == 0, service.log
        assert is_gone(child)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    prepare(tmp_path)
    with running(tmp_path, "tasks:app", "--reload") as service:
        child = child_of(service)
        os.kill(service.process.pid, signal.SIGKILL)
        until(lambda: is_gone(child))


def test_a_file_of_the_project_hides_no_module_of_ours(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "click.py").write_text("raise SystemExit('the wrong one')\n")
    as_script = (sys.executable, "-P", *SERVE[1:])
    with running(tmp_path, "tasks:app", "--reload", command=as_script) as service:
        assert said(service) == "before"


def test_ctrl_c_ends_it_while_it_waits_for_a_change(tmp_path: Path) -> None:
    prepare(tmp_path)
    with running(tmp_path, "tasks:app", "--reload") as service:
        (tmp_path / "tasks.py").unlink()
        until(lambda: "a change starts it again" in service.log)
        assert "There is no module 'tasks'" in service.log
        service.signal(signal.SIGINT)
        assert service.exit_code() == 0


@pytest.mark.slow
def test_running_jobs_are_handed_back_soon(tmp_path: Path) -> None:
    prepare(tmp_path)
    with running(tmp_path, "tasks:app", "--reload") as service:
        id_ = service.post("slow")
        service.wait_for(id_, "running")
        (tmp_path / "more.py").touch()
        follow(service, 2)
        assert service.wait_for(id_, "running")["attempt"] == 1
        service.signal(signal.SIGTERM)
        until(lambda: service.log.count("stopping: 1 jobs") == 2)  # once for the change
        service.signal(signal.SIGTERM)
        assert service.exit_code() == 0


def test_only_files_of_ones_own_are_watched(tmp_path: Path) -> None:
    for name in ("a.py", "sub/b.py", ".venv/c.py", "env/d.py", "__pycache__/e.py", ".f.py", "g.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    before = look(tmp_path)
    assert set(before) == {Path("a.py"), Path("sub/b.py")}
    (tmp_path / "a.py").unlink()
    (tmp_path / "sub/b.py").write_text("1")
    (tmp_path / "new.py").touch()
    assert changed(before, look(tmp_path)) == [Path("a.py"), Path("new.py"), Path("sub/b.py")]
