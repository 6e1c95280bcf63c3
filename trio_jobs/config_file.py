"""`trio-jobs.toml`: the settings of a directory, in a file.

    concurrency = 20
    queues = ["media:4", "*:8"]
    smtp_password_file = "/run/secrets/smtp"

The names are those of `Settings`; `_FILE` of the environment is `_file` here. Flags and variables
go before it.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from .config import CONFIG_VARIABLE, Settings, parse_text, read_secret
from .errors import ConfigError

NAME = "trio-jobs.toml"
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def config_file(named: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that counts: the one that is named, by flag or variable, or the one that is here."""
    name = named or environ.get(CONFIG_VARIABLE)
    if name:
        return Path(name)
    return Path(NAME) if Path(NAME).is_file() else None


def read_settings(path: Path) -> dict[str, tuple[Any, str]]:
    """Each setting in the file, and what to call the place where it stands.

    Raises ConfigError for a file that cannot be read, for names that are no settings and for values
    of the wrong kind.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    known = {spec.name: spec for spec in fields(Settings)}
    found: dict[str, tuple[Any, str]] = {}
    for key, value in given.items():
        name, source = key, f"{path} ({key})"
        if name not in known and name.removesuffix("_file") in known:
            name = name.removesuffix("_file")
            text = read_secret(source, _checked(source, value, str))
            value = parse_text(source, text, known[name].type)
        elif name in known:
            value = _checked(source, value, known[name].type)
        else:
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{path}: {key} is not a setting{hint}")
        if name in found:
            raise ConfigError(f"{path}: {name} and {name}_file exclude each other")
        found[name] = value, source
    return found


def _checked(source: str, value: Any, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ConfigError(f'{source}: {value!r} is not a list of texts, ["…", "…"]')
        return tuple(value)
    may_be_none = type(None) in get_args(kind)
    if may_be_none:
        kind = str
    if type(value) is int and kind is float:  # not isinstance: True is one
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{source}: {value!r} is not {_KINDS[kind]}")
    return None if may_be_none and value == "" else value


def template() -> str:
    """A file that says nothing yet: every setting with its help and default, commented out."""
    lines = [
        f"# {NAME}: settings of trio_jobs, each as it is when nothing else is said.",
        "# Take away the # before a name to set it. A flag or a TRIO_JOBS_* variable goes before",
        "# what is here. Durations are seconds, sizes bytes.",
    ]
    for spec in fields(Settings):
        lines += ["", *(f"# {line}" for line in wrap(spec.metadata["help"], 96))]
        if choices := spec.metadata.get("choices"):
            lines.append(f"# One of: {', '.join(choices)}.")
        if spec.metadata.get("secret"):
            lines.append(f"# Better not here: {spec.name}_file names a file that holds it.")
        lines.append(f"#{spec.name} = {_toml(spec.default)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(word) for word in value)}]"
    if isinstance(value, int | float):
        return f"{value:_}" if isinstance(value, int) else repr(value)
    return json.dumps(value or "", ensure_ascii=False)  # a TOML text, too
