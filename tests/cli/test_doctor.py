"""What the doctor finds, and what it says to do."""

import json
import os
import socket
import time
from collections import namedtuple

import pytest

from trio_jobs.cli import checks
from trio_jobs.cli.exits import Exit
from trio_jobs.cli.output import has_colour
from trio_jobs.config import Settings

FREE = ("--bind", "127.0.0.1:0")


@pytest.fixture
def examine(ask):
    """Findings by name, and the exit code."""

    def examine(*arguments):
        done = ask("doctor", "-o", "json", *arguments)
        assert "Traceback" not in done.stderr
        return {found["check"]: found for found in json.loads(done.stdout)}, done.returncode

    return examine


def test_a_machine_that_is_fit_gets_nothing_but_ok_and_stays_as_it_is(ask, examine, tmp_path):
    findings, code = examine(*FREE)
    assert code == 0
    assert set(findings) == {
        *("python", "sqlite", "trio", "hypercorn", "quart", "quart-trio", "settings"),
        *("database directory", "database", "data directory", "disk", "fsync", "clock", "address"),
    }
    assert not [found for found in findings.values() if found["status"] == "fail"]
    assert list(tmp_path.iterdir()) == []
    text = ask("doctor", *FREE).stdout
    assert "ok    database: trio-jobs.db will be made" in text
    assert "\x1b" not in text


def test_a_running_service_is_well_and_knows_its_address(examine, service, directory):
    address = service.url.removeprefix("http://")
    where = ("--database", f"sqlite:///{directory / 'trio-jobs.db'}", "--bind", address)
    findings, code = examine(*where)
    assert code == 0
    assert "is served by trio_jobs" in findings["address"]["detail"]
    assert "schema" in findings["database"]["detail"]


def test_an_address_that_somebody_else_has_fails(examine):
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{somebody.getsockname()[1]}"
        findings, code = examine("--bind", address)
    assert code == Exit.ERROR
    assert findings["address"]["status"] == "fail"
    assert "--bind" in findings["address"]["advice"]


@pytest.mark.parametrize("bind", ["nowhere", "127.0.0.1:http", "no.such.host.invalid:80"])
def test_an_address_that_is_none_fails(bind):
    assert checks.address(Settings(bind=bind)).status == "fail"


def test_a_unix_socket_needs_a_directory_and_no_other_file_in_its_place(tmp_path):
    assert checks.address(Settings(bind=f"unix:{tmp_path / 's'}")).status == "ok"
    (tmp_path / "s").touch()
    assert checks.address(Settings(bind=f"unix:{tmp_path / 's'}")).status == "fail"
    assert checks.address(Settings(bind=f"unix:{tmp_path / 's' / 't'}")).status == "fail"


def test_wrong_settings_are_a_finding_and_end_the_round(ask, examine, monkeypatch):
    monkeypatch.setenv("TRIO_JOBS_THREDS", "1")
    findings, code = examine()
    assert code == Exit.ERROR
    assert "did you mean" in findings["settings"]["detail"]
    assert "database" not in findings
    assert "fail  settings: " in ask("doctor").stdout


def test_a_database_that_others_may_read_or_that_is_none_is_told(ask, examine, tmp_path):
    ask("migrate")
    findings, _ = examine(*FREE)
    assert findings["database"]["status"] == "ok"
    (tmp_path / "trio-jobs.db").chmod(0o644)
    findings, code = examine(*FREE)
    assert (findings["database"]["status"], code) == ("warn", 0)
    assert "chmod 600" in findings["database"]["advice"]
    (tmp_path / "trio-jobs.db").write_bytes(b"garbage" * 1_000)
    findings, code = examine(*FREE)
    assert (findings["database"]["status"], code) == ("fail", Exit.ERROR)
    assert "restore" in findings["database"]["advice"]


def test_a_directory_that_is_a_file_fails(examine, tmp_path):
    (tmp_path / "file").touch()
    findings, code = examine(*FREE, "--data-dir", "file")
    assert (findings["data directory"]["status"], code) == ("fail", Exit.ERROR)
    findings, code = examine(*FREE, "--data-dir", "new/deep")
    assert (findings["data directory"]["detail"], code) == ("new/deep will be made", 0)


def test_what_the_settings_name_must_be_there(examine, tmp_path):
    (tmp_path / "cert.pem").touch()
    findings, code = examine(*FREE, "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert (findings["tls_cert"]["status"], findings["tls_key"]["status"]) == ("ok", "fail")
    assert code == Exit.ERROR


@pytest.mark.parametrize(("free", "status"), [(1e10, "ok"), (5e8, "warn"), (1e6, "fail")])
def test_a_full_disk_is_told_before_it_hurts(examine, monkeypatch, free, status):
    usage = namedtuple("usage", "total used free")(1e12, 1e12 - free, free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    findings, code = examine(*FREE)
    assert findings["disk"]["status"] == status
    assert code == (Exit.ERROR if status == "fail" else 0)


@pytest.mark.parametrize(("seconds", "status"), [(0.001, "ok"), (0.1, "warn"), (0.000_001, "warn")])
def test_a_disk_that_is_slow_or_lies_is_told(examine, monkeypatch, seconds, status):
    monkeypatch.setattr(checks, "_timed_sync", lambda descriptor: seconds)
    findings, code = examine(*FREE)
    assert (findings["fsync"]["status"], code) == (status, 0)


def test_a_clock_that_was_set_back_is_told(ask, tmp_path, monkeypatch):
    ask("migrate")
    settings = Settings(database=f"sqlite:///{tmp_path / 'trio-jobs.db'}")
    assert checks.clock(settings).status == "ok"
    later = time.time() + 3_600
    os.utime(tmp_path / "trio-jobs.db", (later, later))
    assert checks.clock(settings).status == "warn"
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert checks.clock(settings).status == "fail"


def test_an_sqlite_that_corrupts_is_told(monkeypatch):
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: "3.40.1")
    found = {finding.check: finding for finding in checks.versions()}
    assert found["sqlite"].status == "fail"


def test_colour_is_for_terminals_and_for_those_who_want_it(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert has_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colour()
