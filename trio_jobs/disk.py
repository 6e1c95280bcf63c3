"""What it takes for names to be on the disk."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Returns when the names in it survive a power cut."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
