"""`trio-jobs metrics`."""

from importlib.resources import files

import click

from .exits import Exit, fail
from .place import server_option, server_url
from .remote import Server


@click.command()
@click.option("--grafana", is_flag=True, help="Print a Grafana dashboard (JSON) instead.")
@click.option("--alerts", is_flag=True, help="Print alert rules for Prometheus (YAML) instead.")
@server_option
def metrics(grafana: bool, alerts: bool, server: str | None) -> None:
    """Print what a running service has counted, as Prometheus reads it at /metrics.

    --grafana and --alerts print what watches it; they need no service.
    """
    if grafana and alerts:
        fail("--grafana and --alerts exclude each other", Exit.USAGE)
    if grafana or alerts:
        name = "grafana.json" if grafana else "alerts.yml"
        text = (files("trio_jobs.metrics") / name).read_text(encoding="utf-8")
        click.echo(text, nl=False)
        return
    with Server(server_url(server)).stream("GET", "/metrics") as answer:
        for text in answer.iter_text():
            click.echo(text, nl=False)
