"""`trio-jobs completion`."""

from typing import Any

import click
from click.shell_completion import get_completion_class

from .exits import fail

PROGRAM = "trio-jobs"
VARIABLE = "_TRIO_JOBS_COMPLETE"  # what click looks for in the environment, by the program's name


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write the script that completes commands and options in SHELL.

    bash: eval "$(trio-jobs completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc; fish:
    trio-jobs completion fish > ~/.config/fish/completions/trio-jobs.fish
    """
    known: Any = get_completion_class(shell)
    try:
        source = known(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    except RuntimeError as error:  # a bash that is too old, say
        fail(str(error))
    click.echo(source)
