"""Bar charts, one SVG for each measure."""

from pathlib import Path

from plotting import pyplot

from .catalogue import Peer
from .process import Figures
from .report import MEASURES, STORES


def draw(directory: Path, caption: str, peers: list[Peer], figures: dict[str, Figures]) -> None:
    """`<measure>.svg` for each measure that somebody has a number for; needs the extra `plot`."""
    plt = pyplot()
    directory.mkdir(parents=True, exist_ok=True)
    for name, head, decimals, more in MEASURES:
        found = [
            (peer, figures[peer.name][name])
            for peer in peers
            if isinstance(figures.get(peer.name, {}).get(name), int | float)
        ]
        if not found:
            continue
        found.sort(key=lambda one: one[1], reverse=not more)  # the best is drawn on top
        labels = [f"{peer.title} ({STORES[peer.store]})" for peer, _ in found]
        colors = ["tab:orange" if peer.ours else "tab:blue" for peer, _ in found]
        figure, axes = plt.subplots(figsize=(9, 1 + 0.35 * len(found)), layout="constrained")
        bars = axes.barh(labels, [value for _, value in found], color=colors)
        axes.bar_label(bars, [f"{value:,.{decimals}f}" for _, value in found], padding=3)
        axes.margins(x=0.12)
        axes.set_title(f"{head}: {'more' if more else 'less'} is better")
        axes.set_xlabel(caption, fontsize="small")
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
