"""A call as one would type it: in a shell with curl, in Python with httpx."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .sse import MEDIA_TYPE

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
        headers = _needed(operation)
        curl = _curl(method, url, *_given(headers), stream=_is_stream(operation))
        arguments = [f"headers={_literal(headers)}"] if headers else []
        return [Sample("", curl, _python(method, url, operation, *arguments))]
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
        text = BYTES
        if any(param["name"] == "type" for param in operation.get("parameters", ())):
            url += UPLOAD
    else:
        text = example.rstrip("\n") if isinstance(example, str) else json.dumps(example)
    headers = {"Content-Type": media_type, **_needed(operation)}
    curl = _curl(method, url, *_given(headers), f"-d {shlex.quote(text)}")
    if media_type == "application/json":
        del headers["Content-Type"]  # httpx says it itself
        arguments = [f"json={_literal(example)}"]
    else:
        arguments = [f"content={_literal(text)}"]
    if headers:
        arguments.insert(0, f"headers={_literal(headers)}")
    return Sample(media_type, curl, _python(method, url, operation, *arguments))


def _needed(operation: Mapping[str, Any]) -> dict[str, str]:
    """Headers that the call cannot do without."""
    return {
        param["name"]: param["schema"]["examples"][0]
        for param in operation.get("parameters", ())
        if param["in"] == "header" and param.get("required")
    }


def _given(headers: Mapping[str, str]) -> list[str]:
    return [f"-H {shlex.quote(f'{name}: {text}')}" for name, text in headers.items()]


def _curl(method: str, url: str, *options: str, stream: bool = False) -> str:
    words = ["curl"]
    if stream:
        words.append("-N")
    if method != "GET":
        words.append(f"-X {method}")
    return " \\\n  ".join([" ".join(words), *options, shlex.quote(url)])


def _python(method: str, url: str, operation: Mapping[str, Any], *arguments: str) -> str:
    if _is_stream(operation):
        call = f"httpx.stream({_literal(method)}, {_literal(url)}, timeout=None)"
        lines = [f"with {call} as reply:", "    for line in reply.iter_lines():"]
        return "\n".join(["import httpx", "", *lines, "        print(line)"])
    words = [_literal(url), *arguments]
    call = "".join(f"\n    {word}," for word in words) + "\n" if arguments else words[0]
    lines = [f"reply = httpx.{method.lower()}({call})", "reply.raise_for_status()"]
    return "\n".join(["import httpx", "", *lines, f"print({_shown(operation)})"])


def _literal(value: Any) -> str:
    """JSON to be as Python would be written."""
    if isinstance(value, dict):
        members = (f"{_literal(name)}: {_literal(inner)}" for name, inner in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _shown(operation: Mapping[str, Any]) -> str:
    media_types = _media_types(operation)
    if "application/json" in media_types:
        return "reply.json()"
    if not media_types:
        return "reply.status_code"
    return (
        "reply.text" if any(name.startswith("text/") for name in media_types) else "reply.content"
    )


def _is_stream(operation: Mapping[str, Any]) -> bool:
    return _media_types(operation) == {MEDIA_TYPE}


def _media_types(operation: Mapping[str, Any]) -> set[str]:
    """Those of the answers when all goes well."""
    return {
        media_type
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for media_type in answer.get("content", ())
    }
