"""`trio-jobs metrics`: what a real process has counted, and what watches it."""

import json

from prometheus_client.parser import text_string_to_metric_families as parsed

from trio_jobs.cli.exits import Exit
from trio_jobs.metrics import FAMILIES, families


def test_every_part_of_a_process_counts_into_the_same_numbers(ask, service):
    service.wait_for(service.post("noop"), "done")
    done = ask("metrics")
    assert done.returncode == 0, done.stderr
    found = {family.name: family.samples for family in parsed(done.stdout)}
    assert len(found) == len(FAMILIES)
    for family, label in (
        (families.ENQUEUED, ("type", "noop")),
        (families.FINISHED, ("type", "noop")),
        (families.RUN, ("type", "noop")),
        (families.WAIT, ("queue", "default")),
        (families.REQUEST, ("route", "/jobs")),
        (families.COMMIT, None),
        (families.RESCUES, None),
    ):
        samples = found[family.name.removesuffix("_total")]
        assert [one for one in samples if label is None or label in one.labels.items()]
    [workers] = found[families.WORKERS.name]
    assert workers.value == 1


def test_what_watches_it_is_printed_without_a_service(ask):
    board = json.loads(ask("metrics", "--grafana", "--server", "http://127.0.0.1:1").stdout)
    assert board["title"] == "trio_jobs"
    assert ask("metrics", "--alerts").stdout.startswith("# Prometheus alert rules")
    assert ask("metrics", "--alerts", "--grafana").returncode == Exit.USAGE
    assert ask("metrics", "--server", "http://127.0.0.1:1").returncode == Exit.UNREACHABLE
