"""Settings: what is wrong is refused at the start, with the name of who said so."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from trio_jobs.config import Settings
from trio_jobs.errors import ConfigError


def load(flags: dict[str, Any] | None = None, **environ: str) -> Settings:
    return Settings.load(flags, environ)[0]


def test_the_defaults_hold_each_other() -> None:
    settings, sources = Settings.load({}, {})
    assert settings == Settings()
    assert set(sources.values()) == {"default"}
    assert set(sources) == {spec.name for spec in dataclasses.fields(Settings)}


def test_a_flag_wins_over_the_environment_and_each_says_where_it_came_from() -> None:
    settings, sources = Settings.load(
        {"concurrency": 7}, {"TRIO_JOBS_CONCURRENCY": "8", "TRIO_JOBS_THREADS": "9", "HOME": "/"}
    )
    assert (settings.concurrency, settings.threads) == (7, 9)
    assert sources["concurrency"] == "--concurrency"
    assert sources["threads"] == "TRIO_JOBS_THREADS"
    assert sources["lease"] == "default"


def test_every_kind_of_value_is_read_from_text() -> None:
    settings = load(
        TRIO_JOBS_SHARED="yes",
        TRIO_JOBS_WORKER="0",
        TRIO_JOBS_JOB_TIMEOUT="1.5",
        TRIO_JOBS_WEBHOOK_ALLOW="10.0.0.0/8, intra.lan,",
        TRIO_JOBS_SMTP_HOST="",
        TRIO_JOBS_MAIL_FROM="me@example.org",
    )
    assert (settings.shared, settings.worker, settings.job_timeout) == (True, False, 1.5)
    assert settings.webhook_allow == ("10.0.0.0/8", "intra.lan")
    assert (settings.smtp_host, settings.mail_from) == (None, "me@example.org")


def test_a_misspelt_variable_is_an_error_with_a_hint_instead_of_silence() -> None:
    with pytest.raises(ConfigError, match="did you mean TRIO_JOBS_CONCURRENCY"):
        load(TRIO_JOBS_CONCURENCY="8")
    with pytest.raises(ConfigError, match="TRIO_JOBS_ZZZ is not a setting"):
        load(TRIO_JOBS_ZZZ="8")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRIO_JOBS_CONCURRENCY", "many"),
        ("TRIO_JOBS_CONCURRENCY", "1.5"),
        ("TRIO_JOBS_CONCURRENCY", ""),
        ("TRIO_JOBS_LEASE", "30s"),
        ("TRIO_JOBS_SHARED", "maybe"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_the_name_of_its_source(
    variable: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=variable):
        load(**{variable: value})


@pytest.mark.parametrize(
    "change",
    [
        {"concurrency": 0},
        {"threads": 0},
        {"max_body": -1},
        {"shutdown_grace": -0.5},
        {"lease": 2.9},
        {"durability": "hopeful"},
        {"smtp_tls": "ssl"},
        {"tls_cert": "cert.pem"},
        {"tls_key": "key.pem"},
    ],
)
def test_a_setting_that_cannot_work_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**change)


@pytest.mark.parametrize("name", ["lease", "job_timeout", "poll_interval", "shutdown_grace"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_duration_that_is_no_number_cannot_break_every_claim(name: str, value: str) -> None:
    """NaN is neither below 3 nor negative, and SQLite stores it as NULL."""
    with pytest.raises(ConfigError, match=name):
        load({name: value})


@pytest.mark.parametrize("name", ["max_attempts", "job_timeout", "poll_interval"])
def test_a_zero_that_would_fail_every_job_or_spin_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load({name: "0"})


def test_a_zero_that_means_something_is_taken() -> None:
    settings = load({"shutdown_grace": "0", "cleanup_grace": "0", "max_tags": "0"})
    assert settings.shutdown_grace == settings.cleanup_grace == settings.max_tags == 0


def test_a_secret_comes_from_its_file_without_the_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert load(TRIO_JOBS_SMTP_PASSWORD_FILE=str(file)).smtp_password == "s3cret"


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TRIO_JOBS_SMTP_PASSWORD_FILE"):
        load(TRIO_JOBS_SMTP_PASSWORD_FILE=str(tmp_path / "none"))


def test_a_secret_file_that_is_not_text_is_refused_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="TRIO_JOBS_SMTP_PASSWORD_FILE"):
        load(TRIO_JOBS_SMTP_PASSWORD_FILE=str(file))


def test_each_queue_gets_its_own_number_of_jobs_and_a_star_all_others() -> None:
    assert Settings().queue_limits == {}
    settings = load({"queues": "media:4, *:16,a:b:1"})
    assert settings.queue_limits == {"media": 4, "*": 16, "a:b": 1}


@pytest.mark.parametrize(
    "queues",
    [
        "media", "media:", ":4", "media:0", "media:-1", "media:4.5", "media:four", "media:٤",
        "media :4", "me dia:4", "**:4", "ü:4", "x" * 65 + ":4", "media:1000000",
        "media:" + "9" * 5_000, "media:4,media:5",
    ],
)  # fmt: skip
def test_a_worker_that_would_serve_no_queue_or_far_too_much_does_not_start(queues: str) -> None:
    with pytest.raises(ConfigError, match=r"queues: .*(is not NAME:NUMBER|is there twice)"):
        load({"queues": queues})


def test_a_rule_of_retention_that_means_nothing_is_refused_at_the_start() -> None:
    rules = load({"keep": "done=1h, webhook.done=0,failed=forever"}).keep
    assert rules == ("done=1h", "webhook.done=0", "failed=forever")
    with pytest.raises(ConfigError, match="keep: 'done=soon'"):
        load(TRIO_JOBS_KEEP="done=soon")


def test_every_setting_has_a_sentence_for_help() -> None:
    for spec in dataclasses.fields(Settings):
        assert spec.metadata["help"].endswith("."), spec.name
