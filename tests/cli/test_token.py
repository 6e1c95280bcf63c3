"""A service that wants a token gets it."""

import pytest
import trio

from trio_jobs.cli.exits import Exit
from trio_jobs.config import Settings
from trio_jobs.registry import Registry
from trio_jobs.service import Service
from trio_jobs.storage import open_visitor

from ..processes import running
from .conftest import run


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("closed")


@pytest.fixture(scope="module")
def secret(directory):
    async def make():
        store = open_visitor(f"sqlite:///{directory / 'trio-jobs.db'}")
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            tokens = Service(store, Registry([]), Settings()).tokens
            _, secret = await tokens.create("reader", ["jobs:read"])
            store.close()
        return secret

    assert run(directory, "migrate").returncode == 0
    return trio.run(make)


@pytest.fixture(scope="module")
def service(directory, secret):
    with running(directory, "--auth", "required") as service:
        yield service


def test_without_a_token_or_with_a_wrong_one_it_is_refused(ask, monkeypatch):
    for token in ("", "tj_wrong"):
        monkeypatch.setenv("TRIO_JOBS_TOKEN", token)
        done = ask("ls")
        assert (done.returncode, done.stdout) == (Exit.REFUSED, "")
        assert "token" in done.stderr


def test_the_token_comes_from_the_environment_or_from_a_file(ask, monkeypatch, secret, tmp_path):
    monkeypatch.setenv("TRIO_JOBS_TOKEN", secret)
    assert ask("ls").returncode == 0
    assert ask("enqueue", "noop").returncode == Exit.REFUSED, "it may only read"
    assert secret not in ask("config").stdout, "the settings know nothing of it"
    monkeypatch.delenv("TRIO_JOBS_TOKEN")
    (tmp_path / "token").write_text(f"{secret}\n")
    monkeypatch.setenv("TRIO_JOBS_TOKEN_FILE", str(tmp_path / "token"))
    assert ask("ls").returncode == 0
    assert ask("config").returncode == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TRIO_JOBS_TOKEN", "tj_ü"), ("TRIO_JOBS_TOKEN", "a\nb"), ("TRIO_JOBS_TOKEN_FILE", "/none")],
)
def test_what_cannot_be_a_token_is_a_usage_error(ask, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    done = ask("ls")
    assert done.returncode == Exit.USAGE
    assert "TRIO_JOBS_TOKEN" in done.stderr
