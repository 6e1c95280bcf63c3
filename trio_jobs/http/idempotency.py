"""The Idempotency-Key: a request that is sent twice does its work once."""

import hashlib
import re

from .problems import Malformed

_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?\Z")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])+)"\Z')


def parse_key(header: str) -> str:
    """The key, bare or as a quoted string: 1 to 255 printable ASCII characters."""
    text = header.strip()
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not _KEY.match(text):
        raise Malformed(
            "An Idempotency-Key is 1 to 255 printable ASCII characters, bare or in quotes."
        )
    return text


def fingerprint(method: str, path: str, query: bytes, content_type: str, body: bytes) -> str:
    """What makes a request the same as another one."""
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), query, content_type.encode(), body):
        digest.update(b"%d:" % len(part))  # so that no two requests run together alike
        digest.update(part)
    return digest.hexdigest()


def of_line(line: bytes) -> str:
    """… and a line of NDJSON the same as another one."""
    return hashlib.sha256(b"line:" + line).hexdigest()
