"""trio-jobs.toml: what stands in it counts, and what does not belong there is refused."""

import re
import tomllib
from dataclasses import fields

import pytest

from trio_jobs.config import Settings
from trio_jobs.config_file import NAME, config_file, read_settings, template
from trio_jobs.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    """Settings and sources from a file with this text, beside flags and variables."""

    def load(text, flags=None, **environ):
        path = tmp_path / NAME
        path.write_text(text)
        return Settings.load(flags or {}, environ, read_settings(path))

    return load


def test_a_flag_goes_before_a_variable_and_that_before_the_file(load, tmp_path):
    settings, sources = load(
        "concurrency = 1\nthreads = 2\nlease = 40\n",
        {"concurrency": 7},
        TRIO_JOBS_CONCURRENCY="8",
        TRIO_JOBS_THREADS="9",
    )
    assert (settings.concurrency, settings.threads, settings.lease) == (7, 9, 40.0)
    assert sources["threads"] == "TRIO_JOBS_THREADS"
    assert sources["lease"] == f"{tmp_path / NAME} (lease)"
    assert sources["keep_alive"] == "default"


def test_every_kind_of_value_has_its_form_in_toml(load):
    settings, _ = load(
        "shared = true\njob_timeout = 1.5\nshutdown_grace = 2\nmax_body = 5_000\n"
        'queues = ["media:4", "*:8"]\nsmtp_host = ""\nmail_from = "me@example.org"\n'
    )
    assert (settings.shared, settings.job_timeout, settings.max_body) == (True, 1.5, 5_000)
    assert type(settings.shutdown_grace) is float
    assert settings.queue_limits == {"media": 4, "*": 8}
    assert (settings.smtp_host, settings.mail_from) == (None, "me@example.org")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurency = 8", "did you mean concurrency"),
        ("zzz = 8", "zzz is not a setting"),
        ("[smtp]\nhost = 'x'", "smtp is not a setting"),
        ("concurrency = '8'", "not a whole number"),
        ("concurrency = 8.0", "not a whole number"),
        ("concurrency = true", "not a whole number"),
        ("lease = '30'", "not a number"),
        ("lease = true", "not a number"),
        ("shared = 1", "not true or false"),
        ("shared = 'yes'", "not true or false"),
        ("queues = 'media:4'", "not a list"),
        ("queues = [4]", "not a list"),
        ("mail_from = 4", "not a text"),
        ("smtp_host = false", "not a text"),
        ("smtp_password_file = 4", "not a text"),
        ("smtp_password_file = '/none'", "/none"),
        ("lease = ", "Invalid value"),
        ("lease = nan", "lease"),
        ("concurrency = 0", "1 or more"),
    ],
)
def test_what_is_wrong_in_it_is_said(load, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(text)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=re.escape(NAME)):
        read_settings(tmp_path / NAME)
    with pytest.raises(ConfigError, match="none"):
        read_settings(tmp_path / "none.toml")


def test_a_secret_may_lie_in_a_file_of_its_own(load, tmp_path):
    (tmp_path / "secret").write_text("hunter2\n")
    settings, sources = load(f"smtp_password_file = '{tmp_path / 'secret'}'")
    assert settings.smtp_password == "hunter2"
    assert "smtp_password_file" in sources["smtp_password"]
    with pytest.raises(ConfigError, match="exclude each other"):
        load(f"smtp_password_file = '{tmp_path / 'secret'}'\nsmtp_password = 'x'")


def test_the_file_that_is_named_counts_else_the_one_that_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file(None, {}) is None
    (tmp_path / NAME).touch()
    assert str(config_file(None, {})) == NAME
    assert str(config_file(None, {"TRIO_JOBS_CONFIG": "other.toml"})) == "other.toml"
    assert str(config_file("mine.toml", {"TRIO_JOBS_CONFIG": "other.toml"})) == "mine.toml"


def test_the_template_says_nothing_until_its_marks_are_taken_away(load):
    assert tomllib.loads(template()) == {}
    text, said = re.subn(r"(?m)^#(?=[a-z_]+ = )", "", template())
    assert said == len(fields(Settings))
    settings, sources = load(text)
    assert settings == Settings()
    assert "default" not in sources.values()
    assert all(spec.metadata["help"].split()[0] in template() for spec in fields(Settings))
