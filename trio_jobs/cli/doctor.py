"""`trio-jobs doctor`."""

import json
from typing import Any

import click

from ..builtin import handlers
from ..errors import ConfigError, TrioJobsError
from . import checks
from .exits import Exit, fail
from .finding import FAIL, OK, WARN, Finding
from .output import has_colour
from .settings import setting_options, settings_of

COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How the findings are written.",
)
@setting_options()
def doctor(output: str, **flags: Any) -> None:
    """Look whether this machine is fit to serve, change nothing, and say what to do.

    The flags are those of `serve`. Exit 1 when something would fail; warnings are no failure.
    """
    findings = _examine(flags)
    if output == "json":
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    if any(finding.status == FAIL for finding in findings):
        raise SystemExit(int(Exit.ERROR))


def _examine(flags: dict[str, Any]) -> list[Finding]:
    findings = list(checks.versions())
    try:
        settings, sources = settings_of(flags)
        handlers(settings)
        given = sorted(name for name, source in sources.items() if source != "default")
        said = f"changed: {', '.join(given)}" if given else "the defaults"
        findings.append(Finding("settings", OK, said))
        findings += checks.places(settings)
        findings += checks.files(settings)
        findings += [checks.clock(settings), checks.address(settings)]
    except ConfigError as error:
        advice = "Nothing else can be looked at before this is right."
        findings.append(Finding("settings", FAIL, str(error), advice))
    except (TrioJobsError, OSError) as error:
        fail(str(error))
    return findings


def _print(finding: Finding) -> None:
    status = finding.status.ljust(4)
    if has_colour():
        status = click.style(status, fg=COLOURS[finding.status])
    advice = f"\n      {finding.advice}" if finding.advice else ""
    click.echo(f"{status}  {finding.check}: {finding.detail}{advice}")
