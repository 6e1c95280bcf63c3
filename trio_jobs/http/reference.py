"""The OpenAPI document as a person reads it: calls by noun, types in words, examples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .openapi import ALWAYS
from .samples import Sample, samples
from .schemas import Schema

_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}


@dataclass(frozen=True, slots=True)
class Member:
    """A parameter of a call, or a member of an object."""

    name: str
    place: str
    type: str
    about: str
    required: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way in which a call may end. `types` are links to those that its body may have."""

    status: str
    phrase: str
    about: str
    type: str
    headers: list[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A call."""

    id: str
    method: str
    path: str
    summary: str
    about: list[str]
    scope: str
    parameters: list[Member]
    bodies: dict[str, str]
    outcomes: list[Outcome]
    samples: list[Sample]

    def matches(self, words: list[str]) -> bool:
        """Does it have all of these words somewhere?"""
        names = [f"{param.name} {param.about}" for param in self.parameters]
        text = " ".join([self.id, self.method, self.path, self.summary, *self.about, *names])
        return all(word in text.lower() for word in words)


@dataclass(frozen=True, slots=True)
class Noun:
    """Calls that belong together."""

    name: str
    about: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Type:
    """An object that travels."""

    name: str
    about: str
    members: list[Member]


def nouns(tree: Schema, origin: str, search: str) -> list[Noun]:
    """Those that have calls with all the words of `search`."""
    words = search.lower().split()
    entries: dict[str, list[Entry]] = {}
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            entry = _entry(tree, method.upper(), path, operation, origin)
            if entry.matches(words):
                entries.setdefault(operation["tags"][0], []).append(entry)
    return [
        Noun(tag["name"], tag["description"], entries[tag["name"]])
        for tag in tree["tags"]
        if tag["name"] in entries
    ]


def types(tree: Schema) -> list[Type]:
    """All objects, by name."""
    return [
        Type(name, schema.get("description", ""), list(_members(schema)))
        for name, schema in tree["components"]["schemas"].items()
    ]


def _entry(tree: Schema, method: str, path: str, operation: Schema, origin: str) -> Entry:
    about = operation.get("description", "").partition("\n\nNeeds the scope")[0]
    return Entry(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        about=[] if about.startswith("Needs the scope") else about.split("\n\n") if about else [],
        scope=operation.get("x-scope", ""),
        parameters=[_parameter(param) for param in operation.get("parameters", ())],
        bodies={
            media_type: in_words(content["schema"])
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
        },
        outcomes=[
            _outcome(tree, status, answer) for status, answer in operation["responses"].items()
        ],
        samples=samples(method, path, operation, origin),
    )


def _parameter(param: Schema) -> Member:
    return Member(
        name="…" if "explode" in param else param["name"],
        place=param["in"],
        type=in_words(param["schema"]),
        about=param["description"],
        required=param.get("required", False),
    )


def _outcome(tree: Schema, status: str, answer: Schema) -> Outcome:
    if reference := answer.get("$ref"):
        answer = tree["components"]["responses"][reference.rpartition("/")[2]]
    bodies = [
        in_words(content["schema"]) if "schema" in content else media_type
        for media_type, content in answer.get("content", {}).items()
    ]
    phrase = HTTPStatus(int(status)).phrase
    return Outcome(
        status=status,
        phrase=phrase,
        about="" if answer["description"] == phrase else answer["description"],
        type=" or ".join(bodies),
        headers=[name for name in answer["headers"] if name not in ALWAYS],
    )


def _members(schema: Schema) -> Iterator[Member]:
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        about = member.get("description", "")
        yield Member(name, "", in_words(member), about, name in required)


def in_words(schema: Mapping[str, Any]) -> str:
    """What a schema allows, for people: `array of Name`, `integer from 1 to 500`."""
    if reference := schema.get("$ref"):
        return str(reference).rpartition("/")[2]
    if several := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(in_words(one) for one in several))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "x-line" in schema:
        return f"lines of {in_words(schema['x-line'])}"
    if schema.get("format") == "binary":
        return "any bytes"
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "any JSON")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"array of {in_words(schema.get('items', {}))}"
    words = [kind]
    words += [f"({schema[name]})" for name in ("format", "contentEncoding") if name in schema]
    words += [f"{word} {schema[name]:,.12g}" for name, word in _BOUNDS.items() if name in schema]
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        words.append(f"of {in_words(schema['additionalProperties'])}")
    return " ".join(words)
