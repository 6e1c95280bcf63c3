"""What a shell is told, asked by a real bash."""

import subprocess

import pytest

from trio_jobs.cli import _COMMANDS

from ..processes import ENVIRONMENT

ASK_BASH = """
eval "$(trio-jobs completion bash)"
COMP_WORDS=({words}) COMP_CWORD={at}
_trio_jobs_completion trio-jobs
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(*words):
    script = ASK_BASH.format(words=" ".join(f"'{word}'" for word in words), at=len(words) - 1)
    done = subprocess.run(
        ["bash", "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("trio-jobs", "re"), ["result", "retry", "restore"]),
        (("trio-jobs", ""), list(_COMMANDS)),
        (("trio-jobs", "queues", "pa"), ["pause"]),
        (("trio-jobs", "ls", "--sta"), ["--status"]),
        (("trio-jobs", "ls", "--status", "r"), ["running"]),
        (("trio-jobs", "--ver"), ["--version"]),
    ],
)
def test_bash_completes_commands_options_and_choices(words, expected):
    assert completed(*words) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_script_too(ask, shell):
    done = ask("completion", shell)
    assert done.returncode == 0
    assert "_TRIO_JOBS_COMPLETE" in done.stdout


def test_an_unknown_shell_is_a_usage_error(ask):
    assert ask("completion", "tcsh").returncode == 2
