"""The README's handlers, as files of somebody's project."""

import csv
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ..processes import ENVIRONMENT, PATIENCE, running, until

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", README, re.DOTALL))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with all of the README's files."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(directory: Path, *command: str) -> str:
    there = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *command], cwd=directory, env=there, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_work_as_written(project: Path) -> None:
    assert {"tasks.py", "embedding.py", "test_tasks.py"} <= set(FILES)
    assert run(project, "embedding.py") == "shop@example.com to a@example.com\n"
    assert "1 passed" in run(project, "-m", "pytest", "-p", "trio_jobs.pytest_plugin")
    ordered = run(project, "orders.py").strip()
    with running(project, "tasks:app", "--database", "sqlite:///jobs.db") as service:
        assert service.wait_for(ordered, "done")["output"] == "shop@example.com to b@example.com"
        id_ = service.post("report", {"a": "b"})
        assert service.wait_for(id_, "done")["output"] == 1


def test_the_thumbnails(project: Path) -> None:
    (project / "pictures").mkdir()
    Image.new("RGBA", (640, 480)).save(project / "pictures" / "a.png")
    with running(project, "thumbs:app") as service:
        made = service.post("thumbnail", {"name": "a.png", "width": 64})
        service.wait_for(made, "done")
        small = Image.open(BytesIO(service.http.get(f"/jobs/{made}/result").content))
        assert (small.format, small.size) == ("JPEG", (64, 48))
        wrong = service.wait_for(service.post("thumbnail", {"name": "../tasks.py"}), "failed")
        assert (wrong["attempt"], wrong["error"]["message"]) == (
            1,
            "there is no picture ../tasks.py",
        )


def test_the_import(project: Path) -> None:
    with (project / "customers.csv").open("w", newline="") as file:
        csv.writer(file).writerows((number, f"name {number}") for number in range(200))
    with running(project, "imports:app") as service:
        for _ in range(2):  # the second writes the same again
            done = service.wait_for(
                service.post("import_customers", {"file": "customers.csv"}), "done"
            )
            assert done["output"] == 200
            assert done["progress"] == {"done": 200.0, "total": 200.0, "note": "rows"}


@contextmanager
def busy_site() -> Iterator[str]:
    """The URL of a site that wants its visitors to come back a second later, once."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            gone = self.path == "/gone"
            self.send_response(404 if gone else 429 if len(asked) == 1 else 200)
            self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_the_crawler(project: Path) -> None:
    with busy_site() as url, running(project, "crawler:app") as service:
        first = service.post("fetch", {"url": f"{url}/page"})
        told = service.wait_for(first, "scheduled")
        assert (told["attempt"], told["reason"]) == (1, "retry")
        done = service.wait_for(first, "done")
        assert (done["attempt"], done["output"]) == (2, "hello")
        gone = service.wait_for(service.post("fetch", {"url": f"{url}/gone"}), "failed")
        assert gone["error"]["message"] == "the site says 404"


def test_the_shop(project: Path) -> None:
    (project / "shop.py").write_text(FILES["shop.py"].replace(":5000", ":0"))
    log = project / "shop.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "shop.py"],
            cwd=project,
            env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=output,
            stderr=output,
        )
    try:
        [url] = until(lambda: re.findall(r"Running on (\S+)", log.read_text()))
        with httpx.Client(base_url=url, trust_env=False) as http:
            ordered = http.post("/orders/7")
            assert ordered.status_code == 202
            job = http.get(f"/queue/jobs/{ordered.json()['job']}?wait=10").json()
            assert job["output"] == "shop@example.com to a@example.com"
            again = http.post("/queue/jobs", json={"type": "report", "input": {}})
            assert again.headers["Location"].startswith("/queue/jobs/")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
