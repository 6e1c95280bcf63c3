"""What a soak says in the end: Markdown, JSON, a picture."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plotting import pyplot

from .faults import Fault
from .ledger import Ledger
from .samples import Sample
from .verdict import MAX_LAG_MS, Verdict

PANELS = (
    ("memory, MB", ["memory_mb"], "linear"),
    ("in use", ["descriptors", "threads", "tasks"], "linear"),
    ("on disk, MB", ["database_mb", "wal_mb"], "log"),
    ("loop lag, ms", ["lag_p99_ms", "lag_max_ms"], "log"),
    ("jobs that wait", ["waiting"], "symlog"),
    ("jobs ended/s", ["ended_per_s"], "linear"),
)


def markdown(
    verdict: Verdict,
    ledger: Ledger,
    answers: Counter[str],
    faults: list[Fault],
) -> Iterator[str]:
    yield "| measure | first third | last third | allowed | most | |"
    yield "|---|---:|---:|---:|---:|---|"
    for growth in verdict.growths:
        figures = (growth.first, growth.last, growth.allowed, growth.most)
        cells = " | ".join(f"{figure:,.1f}" for figure in figures)
        yield f"| {growth.measure.title} | {cells} | {'flat' if growth.is_flat else 'GROWS'} |"
    yield (
        f"| loop lag, p99, ms | | {verdict.lag_p99_ms:.1f} | {MAX_LAG_MS} "
        f"| {verdict.lag_max_ms:,.1f} | {'ok' if verdict.lag_p99_ms <= MAX_LAG_MS else 'LAGS'} |"
    )
    yield ""
    yield (
        f"jobs: {ledger.acknowledged:,} acknowledged, {len(ledger.lost)} lost, "
        f"{ledger.ended.total():,} ended, {ledger.unheard} of them untold by the event stream"
    )
    yield f"ends: {_counts(ledger.ended)}"
    yield f"requests: {answers.total():,}: {_counts(answers)}"
    yield f"faults: {_counts(Counter(fault.name for fault in faults))}"
    yield "FAILED: " + "; ".join(verdict.faults) if verdict.faults else "ok"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items()))


def figures(
    verdict: Verdict,
    ledger: Ledger,
    answers: Counter[str],
    faults: list[Fault],
    samples: list[Sample],
) -> dict[str, Any]:
    """For `--json`. Times are in seconds since the first sample."""
    start = samples[0].at
    return {
        "ok": not verdict.faults,
        "wrong": verdict.faults,
        "growth": {
            growth.measure.name: {"first": growth.first, "last": growth.last, "most": growth.most}
            for growth in verdict.growths
        },
        "lag_p99_ms": verdict.lag_p99_ms,
        "lag_max_ms": verdict.lag_max_ms,
        "acknowledged": ledger.acknowledged,
        "lost": ledger.lost,
        "unheard": ledger.unheard,
        "ended": ledger.ended,
        "answers": answers,
        "faults": [{"name": fault.name, "at": round(fault.at - start, 1)} for fault in faults],
        "samples": [_flat(sample, start) for sample in samples],
    }


def _flat(sample: Sample, start: float) -> dict[str, float]:
    plain = asdict(sample) | {"at": sample.at - start}
    del plain["lags_ms"]
    plain |= {"lag_p99_ms": sample.lag_p99_ms, "lag_max_ms": sample.lag_max_ms}
    return {name: round(value, 2) for name, value in plain.items()}


def draw(file: Path, caption: str, samples: list[Sample], faults: Iterable[Fault]) -> None:
    """Small multiples over time; the faults are thin marks."""
    plt = pyplot()
    start = samples[0].at
    minutes = [(sample.at - start) / 60 for sample in samples]
    size = (11, 2 * len(PANELS))
    figure, rows = plt.subplots(len(PANELS), sharex=True, figsize=size, layout="constrained")
    colors = {
        name: f"C{number}" for number, name in enumerate(dict.fromkeys(f.name for f in faults))
    }
    for axes, (title, names, scale) in zip(rows, PANELS, strict=True):
        for name in names:
            values = [getattr(sample, name) for sample in samples]
            label = name.rpartition("_")[0] or name
            axes.plot(minutes, values, label=label, linewidth=0.9)
        axes.set_yscale(scale)
        axes.set_ylabel(title, fontsize="small")
        axes.grid(visible=True, alpha=0.3)
        if scale == "linear":
            axes.set_ylim(bottom=0)
        if len(names) > 1:
            axes.legend(loc="upper left", fontsize="x-small", ncols=len(names))
        for fault in faults:
            at = (fault.at - start) / 60
            axes.axvline(at, color=colors[fault.name], linewidth=0.6, alpha=0.7)
    marks = [plt.Line2D([], [], color=color, label=name) for name, color in colors.items()]
    figure.legend(handles=marks, loc="outside lower center", ncols=5, fontsize="x-small")
    rows[0].set_title(caption, fontsize="small")
    rows[-1].set_xlabel("minutes")
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
