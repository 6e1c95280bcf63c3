"""The processes in which a service runs jobs of `isolation="process"`."""

from contextlib import suppress
from pathlib import Path


def job_processes(pid: int) -> list[int]:
    """Those of the service `pid` that live right now."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # one has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = (task / "children").read_text().split()
            found += [int(child) for child in children if _runs_jobs(Path(f"/proc/{child}"))]
    return found


def _runs_jobs(process: Path) -> bool:
    return b"spawn_main" in (process / "cmdline").read_bytes()
