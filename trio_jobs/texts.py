"""Texts of others on their way to where they are kept or shown: encodable, and not too long."""

from collections.abc import Callable

Redact = Callable[[str], str]
"""Hides what is secret in a text; `str` hides nothing."""

_LOOKED_AT = 10  # times the limit: of longer texts the middle is cut out unseen


def shortened(text: str, limit: int, redact: Redact = str) -> str:
    """`text` redacted, without its middle when it has more than `limit` characters.

    Secrets go first: half a secret would not be known as one.
    """
    size, half = len(text), limit // 2
    if size > _LOOKED_AT * limit:
        seen = _LOOKED_AT * half
        head, tail = redact(encodable(text[:seen])), redact(encodable(text[-seen:]))
    else:
        head = tail = text = redact(encodable(text))
        size = len(text)
        if size <= limit:
            return text
    return f"{head[:half]}\n… {size - limit:,} characters left out …\n{tail[-half:]}"


def encodable(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 cannot write: nothing may fail to be kept."""
    return text.encode("utf-8", "replace").decode()
