"""Filters as people write them: `'state=failed type=webhook,noop input.user=5'`."""

import shlex

from .exits import Exit, fail

FILTER_HELP = "Those that match, e.g. 'state=failed type=webhook'."


def filter_words(text: str) -> dict[str, str]:
    """The names and what they must be; what they mean, the service knows."""
    words: dict[str, str] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        fail(f"--filter {text!r}: {error}", Exit.USAGE)
    for part in parts:
        name, equals, value = part.partition("=")
        if not name or not equals:
            fail(f"--filter: {part!r} is not NAME=VALUE", Exit.USAGE)
        if name in words:
            fail(f"--filter: {name} is given twice; write {name}=ONE,OTHER", Exit.USAGE)
        words[name] = value
    if not words:
        fail("--filter: an empty one would mean all jobs", Exit.USAGE)
    return words
