"""The command line: one module per group of commands, imported when it is used.

`trio-jobs --help` imports neither quart nor httpx.
"""

from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from .exits import Exit

_COMMANDS = {
    "serve": ("serve", "Run the service: HTTP API and workers."),
    "worker": ("worker", "Run jobs without HTTP, beside a service on the same database."),
    "enqueue": ("enqueue", "Enqueue a job, or a file of them."),
    "ls": ("jobs", "List jobs, newest first."),
    "show": ("jobs", "Show a job."),
    "result": ("jobs", "Write a job's result to standard output."),
    "logs": ("history", "Show what a job has logged."),
    "tail": ("tail", "Show what happens to all jobs, as it happens."),
    "why": ("history", "Say what keeps a job from running."),
    "cancel": ("steer", "Cancel jobs: some, or all that match."),
    "retry": ("steer", "Queue finished jobs again."),
    "rm": ("steer", "Remove the records of finished jobs."),
    "queues": ("queues", "List the queues; pause, resume or purge one."),
    "metrics": ("metrics", "Print the metrics, a dashboard, or alert rules."),
    "token": ("token", "Make, list and revoke tokens."),
    "types": ("workforce", "List the job types."),
    "workers": ("workforce", "List the workers."),
    "top": ("top", "Watch queues, running jobs and failures."),
    "migrate": ("database", "Bring the database's schema up to date."),
    "backup": ("copies", "Copy the database, also while a service runs."),
    "restore": ("copies", "Put a copy in the place of the database."),
    "move": ("move", "Copy everything to another database, SQLite or PostgreSQL."),
    "doctor": ("doctor", "Look whether this machine is fit to serve."),
    "bench": ("bench", "Measure how fast this machine is."),
    "config": ("settings", "Print every setting and where its value comes from."),
    "init": ("settings", "Write a trio-jobs.toml with every setting."),
    "completion": ("completion", "Complete commands in bash, zsh or fish."),
}


class _Commands(click.Group):
    """Knows the names and the one-line helps; imports a module only for its own command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = import_module(f".{_COMMANDS[name][0]}", __name__)
        command: click.Command = getattr(module, name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if not _is_interrupt(error):
                raise
            raise SystemExit(int(Exit.INTERRUPTED)) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=help_)
            for name, (_, help_) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _COMMANDS.items()])


def _is_interrupt(error: BaseException) -> bool:
    """Is it Ctrl-C, by itself, among others, or at a question?"""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    if isinstance(error, click.Abort):  # or the end of standard input, instead of an answer
        return isinstance(error.__context__, KeyboardInterrupt)
    return isinstance(error, KeyboardInterrupt)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trio-jobs", prog_name="trio-jobs")
def main() -> None:
    """A durable job queue with an HTTP API and workers, in one process."""
