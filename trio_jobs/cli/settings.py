"""Settings as options, `trio-jobs config` and `init`."""

import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from ..config import CONFIG_VARIABLE, PREFIX, Settings
from ..config_file import NAME, config_file, read_settings, template
from ..errors import ConfigError
from ..redaction import without_secrets
from .exits import Exit, fail

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(names: Iterable[str] | None = None) -> Callable[[F], F]:
    """Adds --config and an option for each setting, or for those in `names`; the command gets
    them as `**flags`."""

    def decorate(command: F) -> F:
        chosen = None if names is None else set(names)
        for spec in reversed(fields(Settings)):
            if chosen is None or spec.name in chosen:
                command = _option(spec)(command)
        return _config_option(command)

    return decorate


_config_option = click.option(
    "--config",
    default=None,
    metavar="FILE",
    help=f"Settings in TOML. [{CONFIG_VARIABLE}; default: {NAME}, if it is there]",
)


def _option(spec: Any) -> Callable[[F], F]:
    flag = "--" + spec.name.replace("_", "-")
    default = spec.default
    if default is None or default == ():
        shown = "none"
    elif isinstance(default, tuple):
        shown = ",".join(default)
    elif isinstance(default, bool):
        shown = "yes" if default else "no"
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    help_ = f"{spec.metadata['help']} [{PREFIX}{spec.name.upper()}; default: {shown}]"
    if isinstance(default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", spec.name, default=None, help=help_)
    metavar = {int: "N", float: "SECONDS"}.get(type(default), "TEXT")
    if choices := spec.metadata.get("choices"):
        metavar = "|".join(choices)
    return click.option(flag, spec.name, default=None, metavar=metavar, help=help_)


def settings_of(flags: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings from flags, environment, file and defaults, and where each came from.

    Raises ConfigError when one is wrong.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    path = config_file(given.pop("config", None), os.environ)
    return Settings.load(given, os.environ, None if path is None else read_settings(path))


def load(flags: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """`settings_of`; exits 2 when one is wrong."""
    try:
        return settings_of(flags)
    except ConfigError as error:
        fail(str(error), Exit.USAGE)


@click.command()
@setting_options()
def config(**flags: Any) -> None:
    """Print every setting, its value, and where that comes from.

    The flags are those of `serve`.
    """
    settings, sources = load(flags)
    for spec in fields(Settings):
        value = getattr(settings, spec.name)
        if spec.metadata.get("secret") and value is not None:
            value = "********"
        elif isinstance(value, tuple):
            value = ",".join(value)
        elif spec.name == "database":
            value = without_secrets(value)
        click.echo(f"{spec.name} = {'' if value is None else value}  # {sources[spec.name]}")


@click.command()
@click.argument("file", default=NAME, metavar="[FILE]")
@click.option("--force", is_flag=True, help="Also over a file that is there.")
def init(file: str, force: bool) -> None:
    """Write a trio-jobs.toml that names every setting, its meaning and its default.

    All of them are commented out, so nothing changes until you say so.
    """
    path = Path(file)
    try:
        # Passwords may be written into it one day: nobody else reads it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if force else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as output:
            output.write(template())
    except FileExistsError:
        fail(f"{path} is there already; --force writes over it", Exit.REFUSED)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    click.echo(f"{path} written", err=True)
