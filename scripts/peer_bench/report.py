"""The figures of all rounds as medians, and as a Markdown table. Pure."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from .catalogue import Peer
from .process import Figures

# name, head of its column, decimals, whether more is better
MEASURES = [
    ("enqueue", "one by one /s", 0, True),
    ("crowd", "64 tasks /s", 0, True),
    ("bulk", "bulk /s", 0, True),
    ("drain", "drain /s", 0, True),
    ("pair", "drain, 2 processes /s", 0, True),
    ("p50", "idle p50 ms", 2, False),
    ("p99", "idle p99 ms", 2, False),
    ("rss_mb", "worker MB", 0, False),
]
LEGEND = (
    "`(2.0x)`: ours is twice as good, so many times more per second or so many times less; beside "
    "queues on PostgreSQL ours on PostgreSQL, beside all others ours on SQLite. `worker MB`: all "
    "processes of a worker at their largest."
)
STORES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "redis": "Redis"}


def medians(rounds: list[Figures]) -> Figures:
    """Of each measure's numbers; where no round has one, the reason of the last."""
    found: Figures = {}
    for name in {name for figures in rounds for name in figures}:
        values = [figures[name] for figures in rounds if name in figures]
        numbers = [value for value in values if isinstance(value, int | float)]
        found[name] = median(numbers) if numbers else values[-1]
    return found


def beside(peer: Peer, figures: dict[str, Figures]) -> Figures:
    """Ours that this peer is compared with: on PostgreSQL if it is there, else on SQLite."""
    if peer.ours:
        return {}
    ours = "ours-postgres" if peer.store == "postgres" else "ours-sqlite"
    return figures.get(ours, {})


def ratio(ours: Any, theirs: Any, *, more: bool) -> float | None:
    """How many times as good ours is; None where one of them is no number."""
    numbers = isinstance(ours, int | float) and isinstance(theirs, int | float)
    if not numbers or not ours or not theirs:
        return None
    return float(ours / theirs if more else theirs / ours)


def table(peers: list[Peer], figures: dict[str, Figures], faults: dict[str, str]) -> str:
    """Markdown. `faults`: peers that could not be measured at all, and why."""
    heads = ["queue", "store", "at a time", *(head for _, head, _, _ in MEASURES)]
    lines = [heads, ["---"] * 3 + ["---:"] * len(MEASURES)]
    notes: list[str] = []
    for peer in peers:
        own = figures.get(peer.name, {})
        row = [f"**{peer.title}**" if peer.ours else peer.title, STORES[peer.store]]
        if peer.name in faults:
            row += ["-", f"failed{_note(notes, faults[peer.name])}"]
            row += ["-"] * (len(MEASURES) - 1)
        else:
            row.append(f"{own['concurrency']:g}" if "concurrency" in own else "-")
            row += _cells(own, beside(peer, figures), notes)
        lines.append(row)
    shown = ["| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines]
    return "\n".join([*shown, *([""] if notes else []), *_numbered(notes)])


def _cells(own: Figures, ours: Figures, notes: list[str]) -> Iterator[str]:
    for name, _, decimals, more in MEASURES:
        value = own.get(name)
        if value is None:
            yield "-"
        elif isinstance(value, str):
            yield f"-{_note(notes, value)}"
        else:
            times = ratio(ours.get(name), value, more=more)
            yield f"{value:,.{decimals}f}" + ("" if times is None else f" ({_times(times)})")


def _times(ratio: float) -> str:
    decimals = 0 if ratio >= 9.95 else 1 if ratio >= 0.995 else 2
    return f"{ratio:,.{decimals}f}x"


def _note(notes: list[str], text: str) -> str:
    if text not in notes:
        notes.append(text)
    return f" [{notes.index(text) + 1}]"


def _numbered(notes: list[str]) -> Iterator[str]:
    for number, text in enumerate(notes, 1):
        yield f"{number}. {_plain(text)}"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def growth(peers: list[Peer], figures: dict[str, Figures]) -> Iterator[str]:
    """What a second worker process brings."""
    for peer in peers:
        own = figures.get(peer.name, {})
        times = ratio(own.get("pair"), own.get("drain"), more=True)
        if times is not None:
            yield f"- {peer.title}: {_times(times)}"


def about(peers: list[Peer], facts: dict[str, Figures]) -> Iterator[str]:
    """A line for each peer that answered: versions, settings, what its answer promises."""
    for peer in peers:
        if peer.name in facts:
            fact = facts[peer.name]
            versions = ", ".join(f"{name} {version}" for name, version in fact["versions"].items())
            where = "one process" if peer.one_process else "two processes"
            yield (
                f"- {peer.title} on {STORES[peer.store]}: {versions}; {fact['settings']}. "
                f"Before the answer to an enqueue: {fact['acknowledged']}. "
                f"`idle`: producer and worker are {where}, as they are mostly run."
            )
