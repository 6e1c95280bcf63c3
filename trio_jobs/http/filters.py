"""Which jobs: the filters of a list, in a query string or in the JSON of a bulk call.

The names are the same in both. A comma in the text of a query means "or"; JSON may have a list.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ..errors import InvalidInput
from ..job import State, states_with_status
from ..service import is_path
from ..service.filters import MOST_CHARACTERS, MOST_VALUES
from ..storage.wishes import Filter
from .call import Param
from .orders import moment
from .problems import Malformed
from .words import STATUSES, says, some_of

_INPUT = "input."
# Which field of a Filter a name fills; these take several words.
_WORDS = {"type": "types", "queue": "queues", "tag": "tags", "key": "keys"}
_TIMES = frozenset({"created_after", "created_before"})


_STATUS = {"type": "string", "pattern": f"^{some_of(STATUSES)}$"}
_STATE = {"type": "string", "pattern": f"^{some_of(State)}$"}
_SOME = {"type": "string", "pattern": "[^,]", "maxLength": MOST_CHARACTERS}
_PART = {"type": "string", "maxLength": MOST_CHARACTERS}
_TIME = {"type": "string", "format": "date-time"}
_PATH = r'^input(\.[^."\\\x00-\x1f]{1,100})+$'


def _or_list(text: dict[str, Any], word: dict[str, Any], **more: int) -> dict[str, Any]:
    return {"anyOf": [text, {"type": "array", "items": word, "minItems": 1, **more}]}


SCHEMA = {
    "properties": {
        "status": _or_list(_STATUS, {"type": "string", "enum": list(STATUSES)}),
        "state": _or_list(_STATE, {"type": "string", "enum": [state.value for state in State]}),
        **{name: _or_list(_SOME, _PART, maxItems=MOST_VALUES) for name in _WORDS},
        **dict.fromkeys(sorted(_TIMES), _TIME),
        "error~": _PART,
    },
    "patternProperties": {_PATH: {"type": ["string", "number", "boolean"]}},
    "additionalProperties": False,
}
"""A filter in JSON, for the OpenAPI document."""


def _text(name: str, schema: dict[str, Any], about: str) -> Param:
    return Param(name, Annotated[str, says(**schema)], about)


PARAMS = (
    _text("status", _STATUS, f"One of {', '.join(STATUSES)}."),
    _text("state", _STATE, f"One of {', '.join(State)}."),
    _text("type", _SOME, "The job's type."),
    _text("queue", _SOME, "Its queue."),
    _text("tag", _SOME, "A tag it has."),
    _text("key", _SOME, "Its unique_key."),
    _text("created_after", _TIME, "RFC 3339."),
    _text("created_before", _TIME, "RFC 3339."),
    _text("error~", _PART, "Part of its last error's message."),
)
OPEN = Param(
    "input",
    Annotated[dict[str, str], says(propertyNames={"pattern": _PATH})],
    "`input.<path>=<value>`: a member of its input, e.g. `input.user.id=7`.",
)
_NAMES = frozenset(param.name for param in PARAMS)


def from_query(query: Mapping[str, str]) -> Filter:
    """The filter that query parameters describe. Raises Malformed for an unknown name."""
    for name in query:
        if not _is_known(name):
            known = ", ".join(sorted(_NAMES))
            raise Malformed(
                f"Unknown query parameter {name!r}; known here: {known}, input.<path>, limit, "
                "cursor, include."
            )
    return _filter(query)


def from_json(given: Mapping[str, Any]) -> Filter:
    """The filter that a JSON object describes. Raises InvalidInput for anything else."""
    for name, value in given.items():
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        if not _is_known(name):
            raise InvalidInput(
                f"known here: {', '.join(sorted(_NAMES))}, input.<path>; not {name!r}", pointer
            )
        fine = isinstance(value, str) or (
            (name.startswith(_INPUT) and isinstance(value, int | float))
            or (
                (name in _WORDS or name in ("status", "state"))
                and isinstance(value, list)
                and all(isinstance(word, str) for word in value)
            )
        )
        if not fine:
            raise InvalidInput(f"{name} is not text, nor a list of texts where it may be", pointer)
    return _filter(given)


def _is_known(name: str) -> bool:
    return name in _NAMES or name.startswith(_INPUT)


def _filter(given: Mapping[str, Any]) -> Filter:
    fields: dict[str, Any] = {}
    states: set[State] | None = None
    for name, value in given.items():
        if name in ("status", "state"):
            meant = {state for word in _words(name, value) for state in _states(name, word)}
            states = meant if states is None else states & meant
        elif name in _WORDS:
            fields[_WORDS[name]] = _words(name, value)
        elif name in _TIMES:
            fields[name] = moment(name, value)
        elif name == "error~":
            fields["error"] = value
        else:
            fields.setdefault("input", {})[_path(name)] = _as_text(value)
    if states is not None:
        fields["states"] = [state for state in State if state in states]
    return Filter(**fields)


def _words(name: str, value: str | list[str]) -> list[str]:
    words = value if isinstance(value, list) else [word for word in value.split(",") if word]
    if not words:
        raise InvalidInput(f"{name} names nothing", f"/{name}")
    return words


def _states(name: str, word: str) -> list[State]:
    if name == "status":
        if not (found := states_with_status(word)):
            raise InvalidInput("status must be pending, running, done or failed", "/status")
        return found
    try:
        return [State(word)]
    except ValueError:
        raise InvalidInput(f"state must be one of {', '.join(State)}", "/state") from None


def _path(name: str) -> str:
    path = name.removeprefix(_INPUT)
    if not is_path(path):
        raise InvalidInput(f"{name!r} is not a path like input.user.id")
    return path


def _as_text(value: str | float) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
