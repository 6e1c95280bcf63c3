"""An environment of its own for each peer, kept in the cache: a venv or an npm prefix."""

import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from .catalogue import Peer

ROOT = Path(__file__).parents[2]
PATIENCE = 600
NODE = 22  # below, npm gives pg-boss and graphile-worker as they were years ago


class Missing(Exception):
    """A peer, or what it needs, is not to be had here; the reason."""


def command(peer: Peer, cache: Path) -> list[str]:
    """How its script is run; installs what is missing."""
    script = str(ROOT / "scripts" / "peers" / peer.script)
    if peer.node:
        return [str(node(cache) / "node"), script]
    if peer.ours:
        return [sys.executable, script]
    return [str(python_with(peer.packages, cache / peer.name)), script]


def variables(peer: Peer, cache: Path) -> dict[str, str]:
    """The environment of its processes; installs what is missing."""
    if peer.node:
        return {**os.environ, "NODE_PATH": str(npm_with(peer.packages, cache / peer.name, cache))}
    if peer.ours:
        before = os.environ.get("PYTHONPATH")
        return {**os.environ, "PYTHONPATH": f"{before}:{ROOT}" if before else str(ROOT)}
    return {**os.environ, "PYTHONPATH": ""}


def node(cache: Path) -> Path:
    """The directory of a Node that is new enough: that on PATH, else one from npm in the cache."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise Missing("needs node and npm")
    told = subprocess.run([found, "--version"], capture_output=True, text=True)
    if int(told.stdout.lstrip("v").partition(".")[0] or 0) >= NODE:
        return Path(found).parent
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        raise Missing(f"needs Node {NODE} or newer")
    package = f"node-linux-{machine}"
    place = cache / "node"
    _npm((f"{package}@{NODE}",), place, dict(os.environ))
    return place / "node_modules" / package / "bin"


def python_with(packages: tuple[str, ...], place: Path) -> Path:
    """The Python of a venv with these packages."""
    python = place / "bin" / "python"
    if _needs(packages, place):
        venv.create(place, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _install([*pip, *packages], packages, place, dict(os.environ))
    return python


def npm_with(packages: tuple[str, ...], place: Path, cache: Path) -> Path:
    """The node_modules with these packages, in the versions that are for our Node."""
    path = os.pathsep.join([str(node(cache)), os.environ["PATH"]])
    _npm(packages, place, {**os.environ, "PATH": path})
    return place / "node_modules"


def _npm(packages: tuple[str, ...], place: Path, environment: dict[str, str]) -> None:
    if _needs(packages, place):
        place.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund"]
        _install([*npm, *packages], packages, place, environment)


def _needs(packages: tuple[str, ...], place: Path) -> bool:
    stamp = place / "installed"
    return not stamp.exists() or stamp.read_text() != "\n".join(packages)


def _install(
    installer: list[str], packages: tuple[str, ...], place: Path, environment: dict[str, str]
) -> None:
    try:
        done = subprocess.run(
            installer, capture_output=True, text=True, timeout=PATIENCE, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"not installed within {PATIENCE} s") from None
    if done.returncode:
        raise Missing(f"not installed: {last_line(done.stderr)}")
    (place / "installed").write_text("\n".join(packages))


def last_line(text: str) -> str:
    """What a program that failed said at the end, short enough for a table."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")[:200]
