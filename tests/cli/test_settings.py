"""Settings from a file, for every command that has settings."""

import pytest

from trio_jobs.cli.exits import Exit


def test_config_says_where_each_value_comes_from(ask, tmp_path, monkeypatch):
    (tmp_path / "trio-jobs.toml").write_text("threads = 3\nlease = 40\nmax_tags = 2\n")
    monkeypatch.setenv("TRIO_JOBS_LEASE", "50")
    lines = ask("config", "--max-tags", "1").stdout.splitlines()
    assert "threads = 3  # trio-jobs.toml (threads)" in lines
    assert "lease = 50.0  # TRIO_JOBS_LEASE" in lines
    assert "max_tags = 1  # --max-tags" in lines
    assert "concurrency = 100  # default" in lines


def test_another_file_is_named_by_flag_or_variable(ask, tmp_path, monkeypatch):
    (tmp_path / "trio-jobs.toml").write_text("threads = 3\n")
    (tmp_path / "one.toml").write_text("threads = 1\n")
    (tmp_path / "two.toml").write_text("threads = 2\n")
    monkeypatch.setenv("TRIO_JOBS_CONFIG", "one.toml")
    assert "threads = 1  # one.toml (threads)" in ask("config").stdout
    assert "threads = 2  # two.toml (threads)" in ask("config", "--config", "two.toml").stdout


@pytest.mark.parametrize("command", ["serve", "config", "migrate"])
@pytest.mark.parametrize(
    ("text", "said"), [("thredas = 3", "did you mean threads"), ("threads = '3'", "whole number")]
)
def test_a_wrong_file_is_one_clear_line(ask, tmp_path, command, text, said):
    (tmp_path / "trio-jobs.toml").write_text(text)
    done = ask(command)
    assert done.returncode == Exit.USAGE
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["trio-jobs.toml"]


def test_a_file_that_is_named_must_be_there(ask):
    done = ask("config", "--config", "none.toml")
    assert done.returncode == Exit.USAGE
    assert "none.toml" in done.stderr


def test_init_writes_a_file_that_changes_nothing_and_spares_the_one_that_is_there(ask, tmp_path):
    before = ask("config").stdout
    done = ask("init")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "trio-jobs.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert ask("config").stdout == before
    file.write_text("threads = 3\n")
    refused = ask("init")
    assert refused.returncode == Exit.REFUSED
    assert "--force" in refused.stderr
    assert file.read_text() == "threads = 3\n"
    assert ask("init", "--force").returncode == 0
    assert "#threads = 16" in file.read_text()
    assert ask("init", "none/x.toml").returncode == Exit.ERROR


def test_a_command_on_a_file_obeys_the_settings_that_are_here(ask, tmp_path):
    (tmp_path / "trio-jobs.toml").write_text("max_tags = 1\n")
    assert ask("migrate").returncode == 0
    done = ask(
        *("enqueue", "noop", "--tag", "a", "--tag", "b"), *("--database", "sqlite:///trio-jobs.db")
    )
    assert done.returncode == Exit.REFUSED
    assert "at most 1 tags" in done.stderr
