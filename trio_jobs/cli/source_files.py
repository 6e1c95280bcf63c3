"""The Python files below a directory, and which of them have changed."""

import os
from pathlib import Path

Seen = dict[Path, tuple[int, int]]
"""Each file with the time of its last change, and its size."""

NOT_OURS = frozenset({"__pycache__", "node_modules"})
ENVIRONMENT = "pyvenv.cfg"  # lies in every virtual environment, whatever it is called


def look(directory: Path) -> Seen:
    """What is there now. Blocks: 4 ms for 400 files."""
    seen: Seen = {}
    for place, directories, files in os.walk(directory):
        if ENVIRONMENT in files:
            directories.clear()
            continue
        directories[:] = filter(_is_ours, directories)
        for name in files:
            if name.endswith(".py") and not name.startswith("."):
                path = Path(place, name)
                try:
                    found = path.stat()
                except OSError:
                    continue  # it has just gone
                seen[path.relative_to(directory)] = found.st_mtime_ns, found.st_size
    return seen


def _is_ours(name: str) -> bool:
    return name not in NOT_OURS and not name.startswith(".")


def changed(before: Seen, after: Seen) -> list[Path]:
    """What is new, gone or different."""
    return sorted({path for path, _ in before.items() ^ after.items()})
