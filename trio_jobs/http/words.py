"""The words of the wire, as the OpenAPI document describes them.

These annotations check nothing: what a value may be is decided by the service, whose sentences are
better than a pattern's. They say the same to programs that read the document.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta

from ..backoff import DAY, KINDS, LONGEST, MAX_LIST
from ..builtin.webhook_url import MAX_URL
from ..config import Settings
from ..job import State
from ..service.order import KEY, MAX_ATTEMPTS, MAX_PRIORITY, MAX_SECONDS, NAME
from ..service.service import MAX_LIMIT, MAX_LINES, MAX_PAGE


def says(**schema: Any) -> Meta:
    """JSON Schema that is in the document, and is not checked by msgspec."""
    return Meta(extra_json_schema=schema)


def whole(pattern: str) -> str:
    """A pattern of Python's, matching all of a text, as JSON Schema has it."""
    return f"^{pattern.removesuffix(chr(92) + 'Z')}$"


def some_of(words: Iterable[str]) -> str:
    """A pattern for some of `words`, with commas between."""
    word = f"({'|'.join(words)})"
    return f",*{word}(,+{word})*,*"


def excluding(one: str, other: str) -> dict[str, Any]:
    """Schema of an object where not both of these members have a value."""
    given = {name: {"not": {"type": "null"}} for name in (one, other)}
    return {"not": {"properties": given, "required": [one, other]}}


Name = Annotated[str, says(pattern=whole(NAME.pattern))]
Tags = Annotated[list[Name], says(maxItems=Settings().max_tags)]
UniqueKey = Annotated[str, says(pattern=whole(KEY.pattern))]
CallbackUrl = Annotated[str, says(format="uri", pattern="^https?://", maxLength=MAX_URL)]
Slug = Annotated[str, says(pattern="^[a-z-]{1,64}$")]
TokenId = Annotated[str, says(pattern="^tok_[0-9a-f]{12}$")]
JobId = Annotated[str, says(format="uuid")]
Time = Annotated[str, says(format="date-time")]
VersionTag = Annotated[str, says(pattern=r'^(\*|(W/)?"[0-9]{1,18}")$')]
Position = Annotated[int, says(minimum=0, maximum=10**18 - 1)]
Limit = Annotated[int, says(minimum=1, maximum=MAX_PAGE)]
Lines = Annotated[int, says(minimum=1, maximum=MAX_LINES)]

Priority = Annotated[int, says(minimum=-MAX_PRIORITY, maximum=MAX_PRIORITY)]
MaxAttempts = Annotated[int, says(minimum=1, maximum=MAX_ATTEMPTS)]
Delay = Annotated[float, says(minimum=0, maximum=MAX_SECONDS)]
Duration = Annotated[float, says(minimum=0.001, maximum=MAX_SECONDS)]
QueueLimit = Annotated[int, says(minimum=1, maximum=MAX_LIMIT)]
Wait = Annotated[float, says(minimum=0)]
Deadline = Annotated[
    str | float,
    says(
        anyOf=[
            {"type": "string", "format": "date-time"},
            {"type": "number", "exclusiveMinimum": 0, "maximum": 2 * MAX_SECONDS},
        ]
    ),
]

STATUSES = tuple(dict.fromkeys(state.status for state in State))
Status = Annotated[str, says(enum=list(STATUSES))]
StateWord = Annotated[str, says(enum=[state.value for state in State])]


def _number(low: float, high: float) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high}


_LIST = {
    "type": "array",
    "items": _number(0, LONGEST),
    "minItems": 1,
    "maxItems": MAX_LIST,
}
BackoffWish = Annotated[
    Any,
    says(
        anyOf=[
            {"type": "null"},
            {"type": "string", "enum": list(KINDS)},
            _LIST,
            {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "base": _number(0, LONGEST),
                    "factor": _number(1, 1_000),
                    "jitter": _number(0, 1),
                    "cap": _number(0, LONGEST) | {"default": DAY},
                },
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {
                    "delays": _LIST,
                    "jitter": _number(0, 1),
                    "cap": _number(0, LONGEST),
                },
                "required": ["delays"],
                "additionalProperties": False,
            },
        ]
    ),
]
