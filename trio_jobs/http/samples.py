"""A call as one would type it: in a shell with curl, in Python with httpx."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NDJSON = "application/x-ndjson"
STREAM = "text/event-stream"
UPLOAD = "?type=process_file&operation=count"
BYTES = "any bytes"


@dataclass(frozen=True, slots=True)
class Sample:
    """`what` tells it from others of the same call: the media type of its body."""

    what: str
    curl: str
    python: str


def samples(method: str, path: str, operation: Mapping[str, Any], origin: str) -> list[Sample]:
    """One for each kind of body, or just one."""
    for param in operation.get("parameters", ()):
        if param["in"] == "path":
            path = path.replace(f"{{{param['name']}}}", param["example"])
    url = origin + path
    bodies = operation.get("requestBody", {}).get("content", {})
    if not bodies:
        stream = STREAM in _media_types(operation)
        return [Sample("", _curl(method, url, stream=stream), _python(method, url, operation))]
    return [
        _with_body(method, url, media_type, content, operation)
        for media_type, content in bodies.items()
    ]


def _with_body(
    method: str,
    url: str,
    media_type: str,
    content: Mapping[str, Any],
    operation: Mapping[str, Any],
) -> Sample:
    example = content.get("example")
    if example is None:
        url, text = url + UPLOAD, BYTES
    else:
        text = example.rstrip("\n") if isinstance(example, str) else json.dumps(example)
    if media_type == "application/json":
        arguments = f"json={example!r}"
    else:
        arguments = f'headers={{"Content-Type": "{media_type}"}}, content={text!r}'
    return Sample(
        media_type,
        _curl(method, url, f"-H {shlex.quote(f'Content-Type: {media_type}')}", _data(text)),
        _python(method, url, operation, arguments),
    )


def _data(text: str) -> str:
    return f"-d {shlex.quote(text)}"


def _curl(method: str, url: str, *options: str, stream: bool = False) -> str:
    words = ["curl"]
    if stream:
        words.append("-N")
    if method != "GET":
        words.append(f"-X {method}")
    return " \\\n  ".join([" ".join(words), *options, shlex.quote(url)])


def _python(method: str, url: str, operation: Mapping[str, Any], arguments: str = "") -> str:
    if STREAM in _media_types(operation) and "application/json" not in _media_types(operation):
        return (
            f"import httpx\n\nwith httpx.stream({method!r}, {url!r}, timeout=None) as reply:\n"
            "    for line in reply.iter_lines():\n        print(line)"
        ).replace("'", '"')
    call = f"reply = httpx.{method.lower()}(\n    {_quoted(url)},"
    if arguments:
        call += f"\n    {arguments},"
    call += "\n)"
    return f"import httpx\n\n{call}\nreply.raise_for_status()\nprint({_shown(operation)})"


def _quoted(url: str) -> str:
    return json.dumps(url)


def _shown(operation: Mapping[str, Any]) -> str:
    media_types = _media_types(operation)
    if "application/json" in media_types:
        return "reply.json()"
    if not media_types:
        return "reply.status_code"
    return (
        "reply.text" if any(name.startswith("text/") for name in media_types) else "reply.content"
    )


def _media_types(operation: Mapping[str, Any]) -> set[str]:
    """Those of the answers when all goes well."""
    return {
        media_type
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for media_type in answer.get("content", ())
    }
