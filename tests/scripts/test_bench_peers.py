"""The comparison with other queues: that it stays alive, says what failed, and adds up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.peer_bench import report
from scripts.peer_bench.bench import Bench, Size
from scripts.peer_bench.catalogue import BY_NAME, PEERS, Peer, rotated
from scripts.peer_bench.environment import last_line
from scripts.peer_bench.servers import sqlite

SCRIPTS = Path(__file__).parents[2] / "scripts"
OURS, PGQUEUER, ARQ = BY_NAME["ours-sqlite"], BY_NAME["pgqueuer"], BY_NAME["arq"]

FAKE = """
import json, sys
phase = sys.argv[1]
options = dict(word[2:].split("=", 1) for word in sys.argv[2:])
if phase == "bulk":
    sys.exit("the bulk call is broken")
if phase == "work":
    print("ready", flush=True)
    sys.stdin.readline()
    ran = int(options["jobs"]) if options["concurrency"] == "2" else 0
    print(json.dumps({"first": 1.0, "end": 3.0, "left": 0, "handled": ran, "rss_mb": 20.0}))
elif phase == "ping":
    with open(options["stamps"], "w") as stamps:
        stamps.writelines(f"{n / 1000}\\n" for n in range(int(options["jobs"])))
    print("{}")
else:
    print(json.dumps({"jobs": 10, "seconds": 2.0}))
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / "bench_peers.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, **environment},
    )


def row(markdown: str, start: str) -> list[str]:
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_quick_measures_ours_and_needs_nothing_else(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = run("--quick", "--peers", "ours-sqlite", "--jobs", "100", "--json", str(found))
    assert done.returncode == 0, done.stderr
    figures = json.loads(found.read_text())["medians"]["ours-sqlite"]
    assert {"enqueue", "crowd", "bulk", "drain", "p50", "p99"} <= figures.keys()
    assert all(isinstance(value, int | float) for value in figures.values()), figures
    assert row(done.stdout, "**trio_jobs**")[1] == "SQLite"
    assert "fsync of the file's WAL" in done.stdout


def test_a_peer_that_cannot_be_had_is_in_the_table_with_its_reason(tmp_path: Path) -> None:
    done = run("--quick", "--peers", "bullmq", "--cache", str(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "BullMQ")[:4] == ["BullMQ", "Redis", "-", "failed [1]"]
    assert "\n1. needs redis-server\n" in done.stdout


def test_the_benchmark_fails_when_ours_does(tmp_path: Path) -> None:
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import sys\nif 'peer_ours' in ' '.join(sys.orig_argv): sys.exit('no')\n")
    done = run("--quick", "--peers", "ours-sqlite", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout


def test_a_phase_that_fails_leaves_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    peer = Peer("fake", "Fake", "sqlite", str(script), (), (1, 2), "nothing", one_process=True)
    with sqlite() as store:
        figures = Bench(peer, tmp_path, store, Size(10, 10, 11, 0.0, 5.0)).round((1, 2))
    assert figures.pop("p99") == pytest.approx(15, abs=0.2)
    assert figures == {
        "enqueue": 5.0,
        "crowd": 5.0,
        "bulk": "the bulk call is broken",
        "drain": 5.0,
        "rss_mb": 20.0,
        "concurrency": 2,  # with 1 no handler ran, which is no drain
        "p50": 10.0,
    }


def test_each_cell_says_how_many_times_as_good_ours_is() -> None:
    figures = {
        "ours-sqlite": {"enqueue": 5_000.0, "p50": 0.5, "concurrency": 100},
        "ours-postgres": {"enqueue": 3_000.0, "p50": 2.0},
        "pgqueuer": {"enqueue": 1_500.0, "p50": 4.0},
        "arq": {"enqueue": 10_000.0, "bulk": "no call for many jobs", "p50": 0.04},
    }
    peers = [BY_NAME[name] for name in figures]
    table = report.table(peers, figures, {})
    assert row(table, "**trio_jobs** | SQLite")[:4] == ["**trio_jobs**", "SQLite", "100", "5,000"]
    assert row(table, "PgQueuer")[3] == "1,500 (2.0x)"  # beside ours on PostgreSQL
    assert row(table, "PgQueuer")[8] == "4.00 (2.0x)"  # less is better
    assert row(table, "arq")[3] == "10,000 (0.50x)"
    assert row(table, "arq")[5] == "- [1]"
    assert row(table, "arq")[8] == "0.04 (0.08x)"
    assert table.endswith("\n\n1. no call for many jobs")
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


def test_reasons_do_not_break_the_table() -> None:
    table = report.table([ARQ, PGQUEUER], {}, {"arq": "a|b\nc", "pgqueuer": "a|b\nc"})
    assert row(table, "arq")[3] == row(table, "PgQueuer")[3] == "failed [1]"
    assert table.endswith("\n1. a\\|b c")


def test_medians_are_of_the_rounds_that_worked() -> None:
    rounds = [{"drain": 1.0, "pair": "no"}, {"drain": 9.0, "pair": "never"}, {"drain": "broken"}]
    assert report.medians(rounds) == {"drain": 5.0, "pair": "never"}
    assert report.medians([]) == {}


def test_growth_is_two_processes_beside_one() -> None:
    figures = {"pgqueuer": {"drain": 1_000.0, "pair": 1_500.0}, "arq": {"drain": 1.0}}
    assert list(report.growth([PGQUEUER, ARQ], figures)) == ["- PgQueuer: 1.5x"]


def test_every_peer_is_first_once() -> None:
    assert [rotated([OURS, PGQUEUER, ARQ], n)[0] for n in range(4)] == [OURS, PGQUEUER, ARQ, OURS]
    assert rotated([], 1) == []


def test_every_peer_has_its_script() -> None:
    assert all((SCRIPTS / "peers" / peer.script).is_file() for peer in PEERS)
    assert len(BY_NAME) == len(PEERS)


def test_the_reason_of_a_group_is_the_exception_in_it() -> None:
    said = "  | ExceptionGroup: one\n  +-+-------\n    | OSError: disk full\n    +-------\n"
    assert last_line(said) == "OSError: disk full"
    assert last_line("") == "it said nothing"
