"""A service that wants a token gets it."""

import json

import httpx
import pytest
import trio

from trio_jobs.cli.exits import Exit
from trio_jobs.config import Settings
from trio_jobs.registry import Registry
from trio_jobs.service import Service
from trio_jobs.storage import open_visitor

from ..processes import running
from .conftest import COMMAND, run


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


def test_a_token_is_made_listed_and_revoked_in_both_places(
    ask, monkeypatch, directory, service, tmp_path
):
    database = ("--database", f"sqlite:///{directory / 'trio-jobs.db'}")
    made = ask("token", "create", "boss", "--scope", "admin", *database)
    assert made.returncode == 0
    assert made.stdout.startswith("tj_")
    assert made.stdout.strip() not in made.stderr
    monkeypatch.setenv("TRIO_JOBS_TOKEN", made.stdout.strip())
    for place in ((), database):
        limits = ("--scope", "jobs:read", "--queue", "a", "--expires", "1h", "-o", "jsonl")
        one = json.loads(ask("token", "create", "ci", *limits, *place).stdout)
        listed = [json.loads(line) for line in ask("token", "ls", *place).stdout.splitlines()]
        assert [token["name"] for token in listed] == ["reader", "boss", "ci"]
        assert (listed[-1]["id"], listed[-1]["queues"]) == (one["id"], ["a"])
        assert "tj_" not in json.dumps(listed)
        assert "ci      jobs:read  any    a " in ask("token", "ls", "-o", "table", *place).stdout
        monkeypatch.setenv("TRIO_JOBS_TOKEN", one["token"])
        assert ask("ls").returncode == 0
        assert ask("queues", "pause", "a").returncode == Exit.REFUSED
        monkeypatch.setenv("TRIO_JOBS_TOKEN", made.stdout.strip())
        assert ask("token", "revoke", one["id"], *place).returncode == 0
        assert ask("token", "revoke", one["id"], *place).returncode == Exit.NOT_FOUND
        assert ask("token", "create", "x", "--scope", "all", *place).returncode == Exit.REFUSED


def test_beyond_this_machine_nobody_is_served_before_there_is_a_token(tmp_path):
    elsewhere = ("serve", "--bind", "0.0.0.0:0")
    refused = run(tmp_path, *elsewhere)
    assert refused.returncode == Exit.USAGE
    assert "trio-jobs token create NAME --scope admin" in refused.stderr
    database = ("--database", "sqlite:///trio-jobs.db")
    assert run(tmp_path, "token", "create", "a", "--scope", "admin", *database).returncode == 0
    with running(tmp_path, command=(*COMMAND, *elsewhere)) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/jobs", trust_env=False).status_code == 401
        assert "unencrypted" in service.log


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TRIO_JOBS_TOKEN", "tj_ü"), ("TRIO_JOBS_TOKEN", "a\nb"), ("TRIO_JOBS_TOKEN_FILE", "/none")],
)
def test_what_cannot_be_a_token_is_a_usage_error(ask, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    done = ask("ls")
    assert done.returncode == Exit.USAGE
    assert "TRIO_JOBS_TOKEN" in done.stderr
