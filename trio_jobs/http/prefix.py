"""Under which path of somebody else's server this app lies: ASGI's `root_path`."""

from urllib.parse import quote, unquote_to_bytes

from .asgi import Scope

_PREFIX = "trio_jobs.prefix"


def prefix_of(scope: Scope) -> str:
    """What links begin with: `/queue`, or nothing."""
    prefix: str = scope.get(_PREFIX, "")
    return prefix


def without_prefix(scope: Scope) -> Scope:
    """`scope` as if the app were all there is, so that paths are ours; for links, `prefix_of`."""
    prefix = scope.get("root_path", "").rstrip("/")
    path = scope["path"]
    if _is_whole(scope) and f"{path}/".startswith(f"{prefix}/"):
        path = path[len(prefix) :]
    # Quoted, because a prefix may have parts that the client chooses ("/{tenant}").
    return {**scope, "path": path or "/", "root_path": "", _PREFIX: quote(prefix)}


def _is_whole(scope: Scope) -> bool:
    """ASGI wants the prefix in the path, too; older frameworks take it away, but not here."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return True
    path: str = scope["path"]
    return unquote_to_bytes(raw.partition(b"?")[0]).decode(errors="replace") == path
