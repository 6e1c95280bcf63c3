"""An environment of its own for each peer, kept in the cache: a venv or an npm prefix."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from .catalogue import Peer

ROOT = Path(__file__).parents[2]
PATIENCE = 600


class Missing(Exception):
    """A peer, or what it needs, is not to be had here; the reason."""


def command(peer: Peer, cache: Path) -> list[str]:
    """How its script is run; installs what is missing."""
    script = str(ROOT / "scripts" / "peers" / peer.script)
    if peer.node:
        if not (shutil.which("node") and shutil.which("npm")):
            raise Missing("needs node and npm")
        return ["node", script]
    if peer.ours:
        return [sys.executable, script]
    return [str(python_with(peer.packages, cache / peer.name)), script]


def variables(peer: Peer, cache: Path) -> dict[str, str]:
    """The environment of its processes."""
    if peer.node:
        return {**os.environ, "NODE_PATH": str(npm_with(peer.packages, cache / peer.name))}
    if peer.ours:
        before = os.environ.get("PYTHONPATH")
        return {**os.environ, "PYTHONPATH": f"{before}:{ROOT}" if before else str(ROOT)}
    return {**os.environ, "PYTHONPATH": ""}


def python_with(packages: tuple[str, ...], place: Path) -> Path:
    """The Python of a venv with these packages."""
    python = place / "bin" / "python"
    if _needs(packages, place):
        venv.create(place, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _install([*pip, *packages], packages, place)
    return python


def npm_with(packages: tuple[str, ...], place: Path) -> Path:
    """The node_modules with these packages."""
    if _needs(packages, place):
        place.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund"]
        _install([*npm, *packages], packages, place)
    return place / "node_modules"


def _needs(packages: tuple[str, ...], place: Path) -> bool:
    stamp = place / "installed"
    return not stamp.exists() or stamp.read_text() != "\n".join(packages)


def _install(installer: list[str], packages: tuple[str, ...], place: Path) -> None:
    try:
        done = subprocess.run(installer, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Missing(f"not installed within {PATIENCE} s") from None
    if done.returncode:
        raise Missing(f"not installed: {last_line(done.stderr)}")
    (place / "installed").write_text("\n".join(packages))


def last_line(text: str) -> str:
    """What a program that failed said at the end, short enough for a table."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")[:200]
