"""Pages for people, and their style.

They are rendered here, with nothing from elsewhere and no script.
The templates escape whatever they are given. The style is a file of its own, because the pages'
Content-Security-Policy allows none within them.
"""

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .answer import Answer
from .call import Call, Param, Route

MEDIA_TYPE = "text/html"
_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Vary": "Accept",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}
_STYLE = (_HERE / "static" / "style.css").read_bytes()
_STYLE_MARK = hashlib.sha256(_STYLE).hexdigest()[:16]
_STYLE_TAG = f'"{_STYLE_MARK}"'

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["style"] = f"/static/style.css?v={_STYLE_MARK}"


def page(call: Call, template: str, **values: Any) -> Answer:
    """`template`, filled in."""
    text = _templates.get_template(template).render(values, root=call.prefix)
    return Answer(200, text.encode(), _HEADERS)


def wants_page(call: Call) -> bool:
    """Does a browser ask? Programs do not name HTML in Accept."""
    return MEDIA_TYPE in call.header(b"accept").lower()


def origin(call: Call) -> str:
    """How the client calls this service, e.g. `http://localhost:8080`; for examples."""
    return f"{call.scheme}://{call.header(b'host') or 'localhost:8080'}{call.prefix}"


async def style(call: Call) -> Answer:
    """Get the style sheet of the pages.

    Under the `v` that the pages use, it never changes.
    """
    named = call.query().get("v") == _STYLE_MARK
    headers = {
        "Content-Type": "text/css; charset=utf-8",
        "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache",
        "ETag": _STYLE_TAG,
    }
    if _STYLE_TAG in call.header(b"if-none-match"):
        return Answer(304, b"", headers)
    return Answer(200, _STYLE, headers)


ROUTES = (
    Route(
        method="GET",
        path="/static/style.css",
        call=style,
        scope=None,
        query=(Param("v", str, "The version."),),
        headers=(Param("If-None-Match", str, "The ETag that is known."),),
        gives={200: "text/css", 304: None},
        tells=("ETag",),
    ),
)
