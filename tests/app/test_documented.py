"""Whatever a Python user can touch says what it promises."""

import inspect
from collections.abc import Iterator
from typing import Any

import trio_jobs
from trio_jobs import client, testing
from trio_jobs.app.job_type import BareJobType, JobType

OWN = [(name, getattr(trio_jobs, name)) for name in trio_jobs.__all__ if name != "__version__"]
OTHERS = [
    *((name, getattr(client, name)) for name in client.__all__),
    *((name, getattr(testing, name)) for name in testing.__all__ if name != "EPOCH"),
    ("JobType", JobType),
    ("BareJobType", BareJobType),
]


def undocumented(name: str, thing: Any) -> Iterator[str]:
    """Itself, and its public functions and properties, unless its own docstring names them."""
    if not inspect.getdoc(thing):
        yield name
    if inspect.isclass(thing):
        for inner, member in inspect.getmembers(thing):
            function = member.fget if isinstance(member, property) else member
            if inner.startswith("_") or not inspect.isfunction(function):
                continue
            said = inspect.getdoc(member) or f"`{inner}`" in (inspect.getdoc(thing) or "")
            if function.__module__.startswith("trio_jobs") and not said:
                yield f"{name}.{inner}"


def test_every_public_name_has_a_docstring() -> None:
    assert not [gap for name, thing in OWN + OTHERS for gap in undocumented(name, thing)]
