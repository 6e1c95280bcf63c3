"""`trio-jobs serve module:app`, in a process and a directory of its own; embedding; the plugin."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

import trio_jobs
from trio_jobs import Ctx, JobFailed, Jobs, Settings
from trio_jobs.errors import NotOpen, StoreError

from ..processes import ENVIRONMENT, SERVE, running

EXAMPLE = Path(__file__).with_name("example.py")


def test_a_directory_with_a_module_is_served(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_bytes(EXAMPLE.read_bytes())
    with running(tmp_path, "tasks:app") as service:
        id_ = service.post("thumbnail", {"path": "a.png"})
        job = service.wait_for(id_, "done")
        assert (job["queue"], job["priority"]) == ("media", 5)
        assert service.http.get(f"/jobs/{id_}/result").content == b"a.png@320"
        wrong = service.http.post("/jobs", json={"type": "thumbnail", "input": {"path": 3}})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/input/path")
        made = service.wait_for(service.post("nightly"), "done")
        assert len(service.http.get(f"/jobs/{made['id']}/result").json()) == 2
        types = {one["type"]: one for one in service.http.get("/types").json()["types"]}
        assert types["send_receipt"]["input"]["$ref"].endswith("Receipt")
        assert types["import_csv"]["output"] == {"type": "integer"}
        assert "webhook" in types
        service.signal()
        assert service.exit_code() == 0, service.log


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tasks", "'tasks' is not MODULE:ATTRIBUTE"),
        ("taks:app", "There is no module 'taks'"),
        ("tasks:ap", "has no 'ap'. It has: app."),
        ("tasks:Thumb", "tasks:Thumb is no trio_jobs.Jobs"),
        ("twice:app", "two handlers for the type 'webhook'"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path: Path, target: str, sentence: str) -> None:
    (tmp_path / "tasks.py").write_bytes(EXAMPLE.read_bytes())
    twice = "from trio_jobs import Jobs\napp = Jobs()\n@app.job()\ndef webhook() -> None: ...\n"
    (tmp_path / "twice.py").write_text(twice)
    done = subprocess.run(
        [*SERVE, target], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


# ── embedding ─────────────────────────────────────────────────────────────────────────────────


def make_app() -> tuple[Jobs, list[str]]:
    """An app with another inside, and what its lifespans have seen."""
    seen: list[str] = []
    app, images = Jobs(), Jobs()

    @images.lifespan
    async def resources():  # type: ignore[no-untyped-def]
        seen.append("open")
        yield "lens"
        seen.append("closed")

    @images.job(concurrency=2)
    async def look(ctx: Ctx) -> str:
        seen.append("in")
        await trio.sleep(0.05)
        seen.append("out")
        return str(ctx.resources)

    @app.job()
    async def fail() -> None:
        raise ValueError("no")

    app.include(images, prefix="img.")
    app.look, app.fail = look, fail  # type: ignore[attr-defined]
    return app, seen


async def test_jobs_are_enqueued_run_and_waited_for_in_process(tmp_path: Path) -> None:
    app, seen = make_app()
    async with app.open(f"sqlite:///{tmp_path}/jobs.db", workers=True) as service:
        jobs = [await app.look.enqueue() for _ in range(6)]  # type: ignore[attr-defined]
        assert [await job.result(timeout=10) for job in jobs] == ["lens"] * 6
        assert (await service.get(jobs[0].id)).type == "img.look"
        failing = await app.fail.enqueue(max_attempts=1)  # type: ignore[attr-defined]
        with pytest.raises(JobFailed, match="ValueError: no"):
            await failing.result(timeout=10)
    assert (seen[0], seen[-1], seen.count("open")) == ("open", "closed", 1)
    inside = [seen[:n].count("in") - seen[:n].count("out") for n in range(len(seen))]
    assert max(inside) == 2  # concurrency
    with pytest.raises(NotOpen):
        await app.fail.enqueue()  # type: ignore[attr-defined]


async def test_jobs_wait_in_the_file_for_whoever_works(tmp_path: Path) -> None:
    app, seen = make_app()
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with app.open(url):
        job = await app.look.enqueue()  # type: ignore[attr-defined]
        with pytest.raises(StoreError):
            async with make_app()[0].open(url):
                pass
    assert not seen
    async with app.open(url, workers=True) as service:
        done = await service.wait(job.id, 10)
    assert (done.state, done.attempt) == ("done", 1)


async def test_a_cancelled_block_hands_its_jobs_back(tmp_path: Path) -> None:
    app = Jobs()

    @app.job()
    async def slow() -> None:
        await trio.sleep(100)

    url = f"sqlite:///{tmp_path}/jobs.db"
    with trio.move_on_after(5) as scope:
        async with app.open(url, workers=True):
            job = await slow.enqueue()
            while await job.status() != "running":  # noqa: ASYNC110 - the store tells
                await trio.sleep(0.01)
            scope.cancel()
            await trio.sleep_forever()
    async with app.open(url) as service:
        again = await service.get(job.id)
    assert (again.state, again.attempt) == ("queued", 0)


async def test_a_nursery_serves_http_and_works(tmp_path: Path) -> None:
    app, seen = make_app()
    settings = Settings(database=f"sqlite:///{tmp_path}/jobs.db", data_dir=str(tmp_path / "data"))
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await app.serve("127.0.0.1:0", settings=settings, task_status=task_status)

        [url] = await nursery.start(serve)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            reply = await http.post("/jobs", json={"type": "img.look", "wait": 10})
            result = await http.get(f"/jobs/{reply.json()['id']}/result")
            assert (reply.json()["status"], result.json()) == ("done", "lens")
        nursery.cancel_scope.cancel()
    assert seen[-1] == "closed"


# ── declaring ─────────────────────────────────────────────────────────────────────────────────


def test_functions_that_cannot_be_handlers_are_refused_with_the_fix() -> None:
    app = Jobs()

    def no_annotation(p): ...  # type: ignore[no-untyped-def]
    def two(p: str, q: str) -> None: ...
    def late(p: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def yields(p: str):  # type: ignore[no-untyped-def]
        yield p

    for function, fix in (
        (no_annotation, "annotate p"),
        (two, "one payload"),
        (late, "names of its module"),
        (yields, "cannot yield"),
    ):
        with pytest.raises(TypeError, match=fix):
            app.job()(function)

    app.job("same")(lambda: None)
    with pytest.raises(ValueError, match="two jobs are called 'same'"):
        app.job("same")(lambda: None)
    with pytest.raises(ValueError, match="the time is like"):
        app.job(keep="soon")
    other = Jobs()
    app.include(other)
    with pytest.raises(ValueError, match="included once"):
        app.include(other)


# ── the plugin, and the price of an import ────────────────────────────────────────────────────


def test_the_plugin_serves_a_test_file_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_bytes(EXAMPLE.read_bytes())
    (tmp_path / "test_tasks.py").write_text(
        "import pytest, tasks\n"
        "@pytest.fixture\n"
        "def jobs_app():\n"
        "    return tasks.app\n"
        "@pytest.mark.trio\n"
        "async def test_it(jobs, autojump_clock):\n"
        "    ran = await jobs.run(tasks.thumbnail, tasks.Thumb('a.png'))\n"
        "    assert ran.result == b'a.png@320'\n"
        "@pytest.mark.trio\n"
        "async def test_real_time_is_refused(jobs):\n"
        "    pass\n"
    )
    there = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "trio_jobs.pytest_plugin",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout
    assert "let the test take autojump_clock" in done.stdout


def loaded_by(code: str) -> set[str]:
    """The modules that there are after `code`."""
    code = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {
    *("quart", "hypercorn", "httpx", "httptools", "jinja2", "prometheus_client", "click"),
    *("trio_parallel", "importlib.metadata", "email.message", "multiprocessing"),
}


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    jobs = loaded_by("from trio_jobs import Jobs")
    assert "trio_jobs.app.jobs" in jobs
    assert not HEAVY & jobs


def test_the_package_and_its_plugin_cost_nothing_by_themselves() -> None:
    nothing = loaded_by("pass")
    assert loaded_by("import trio_jobs") - nothing <= {"trio_jobs"}
    plugin = loaded_by("import pytest, trio_jobs.pytest_plugin") - loaded_by("import pytest")
    assert plugin == {"trio_jobs", "trio_jobs.pytest_plugin"}


def test_all_names_of_the_package_are_there() -> None:
    code = "from trio_jobs import *; print(Jobs.__name__, Client.__name__, __version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"Jobs Client {trio_jobs.__version__}\n"


def test_a_decorator_without_parentheses_is_refused_and_not_swallowed() -> None:
    async def work() -> None: ...

    with pytest.raises(TypeError, match="parentheses"):
        Jobs().job(work)  # type: ignore[arg-type]
