"""A service to speak to, and the two ways to reach its jobs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from trio_jobs.cli import main
from trio_jobs.config import PREFIX, SERVER_VARIABLE

from ..processes import ENVIRONMENT, Service, running

COMMAND = (sys.executable, "-m", "trio_jobs")


@dataclass
class Done:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str
    stdout_bytes: bytes


Ask = Callable[..., Done]


def _text(written: bytes) -> str:
    return written.decode(errors="replace")


def run(
    directory: Path,
    *arguments: str,
    stdin: str = "",
    command: Sequence[str] = COMMAND,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=directory,
        env=ENVIRONMENT | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="package")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="package")
def service(directory: Path) -> Iterator[Service]:
    with running(directory) as service:
        yield service


@pytest.fixture
def ask(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command that finds the service by the environment; in this process, to be quick."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv(SERVER_VARIABLE, service.url)
    monkeypatch.chdir(tmp_path)

    def ask(*arguments: str, stdin: str = "") -> Done:
        done = CliRunner().invoke(main, arguments, input=stdin)
        if done.exc_info is not None and not isinstance(done.exception, SystemExit | None):
            raise done.exc_info[1] or AssertionError
        return Done(done.exit_code, _text(done.stdout_bytes), done.stderr, done.stdout_bytes)

    return ask


@pytest.fixture(params=["server", "database"])
def place(request: pytest.FixtureRequest, service: Service, directory: Path) -> tuple[str, str]:
    """The options of a command: through the service, or past it on its database."""
    if request.param == "server":
        return "--server", service.url
    return "--database", f"sqlite:///{directory / 'trio-jobs.db'}"
