"""Settings as options, and `trio-jobs config`."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, TypeVar

import click

from ..config import PREFIX, Settings
from ..errors import ConfigError
from .exits import Exit, fail

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(names: Iterable[str] | None = None) -> Callable[[F], F]:
    """Adds an option for each setting, or for those in `names`; the command gets `**flags`."""

    def decorate(command: F) -> F:
        chosen = None if names is None else set(names)
        for spec in reversed(fields(Settings)):
            if chosen is None or spec.name in chosen:
                command = _option(spec)(command)
        return command

    return decorate


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


def load(flags: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """The settings from flags, environment and defaults; exits 2 when one is wrong."""
    try:
        return Settings.load({name: value for name, value in flags.items() if value is not None})
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
        click.echo(f"{spec.name} = {'' if value is None else value}  # {sources[spec.name]}")
