"""Secrets out of what is shown in passing: log lines, lists, events, errors.

Not out of a job itself: `GET /jobs/{id}` returns the payload that was stored, byte for byte, since
that is what its clients asked to be kept. Here it is about everybody else's eyes.

What is a secret cannot be known, only guessed by its name and its form, so in doubt more is hidden
than is secret. The forms that are known: name=value and "name": value in all their dialects, Bearer
tokens, our own tokens (`tj_…`), webhook secrets (`whsec_…`), PEM private keys, and passwords in
URLs. The values of our own secret settings are hidden wherever they are.
"""

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

DEFAULT_WORDS = (
    "password", "passwd", "secret", "token", "authorization", "api_key", "apikey", "private_key",
    "credential", "cookie",
)  # fmt: skip
MASK = "[redacted]"
SHORTEST = 4
"""Characters that the value of a setting must have to be hidden: shorter ones are everywhere."""

_SEPARATOR = re.compile("[_-]+")
# Every repetition here has a bound or cannot be tried twice: these run over hostile texts.
_FORMS = r"""
    (?P<token> \b(?: tj_[\w-]{8,} | whsec_[\w+/=-]{8,} ) )
  | (?P<bearer> \bbearer\ {1,4} ) (?= [\w.~+/=-]{8} )
  | (?P<pem> -----begin\ [a-z0-9\ ]{0,40}private\ key----- )
  | (?P<url> ://[^\s/:@"']{0,256}: ) (?P<password> [^\s/"']{1,256} ) (?= @ )
"""
_NAMED = r"""
  | (?P<name> %s ) [\w.-]{0,64}+
    (?: (?: \\{0,3}["'] )? [ \t]{0,8} (?: =>|:=|={1,3}|: ) [ \t]{0,8}
      | ["'][ \t]?,[ \t]{0,8} (?= [bru]?["'] ) )
"""
_HINTS = ("tj_", "whsec_", "bearer ", "-----begin ")
_HINTED_URL = r"://[^\s/]{0,512}@"
_END_OF_PEM = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_QUOTED = re.compile(
    r"""[bruBRU]{0,2}(?:
        "(?P<double> (?: [^"\\]++ | \\. )*+ )
      | '(?P<single> (?: [^'\\]++ | \\. )*+ )
      | (?P<mark> \\{1,3}["'] ) (?P<escaped> .*? ) (?: (?<!\\)(?P=mark) | \Z )
    )""",
    re.VERBOSE | re.DOTALL,
)
_BRACKET = re.compile(
    r"""(?P<opens>[\[{(])|[\]})]|"(?:[^"\\]++|\\.)*+"?|'(?:[^'\\]++|\\.)*+'?""", re.DOTALL
)
# A comma may be part of a password, unless something follows that is none.
_BARE = re.compile(
    r"""(?:(?:bearer|basic|digest|token)[ ]{1,4})?
        (?: [^\s&,;"'] | [&,;] (?! \s | [\w.-]{1,64}[=:] | \Z ) )++""",
    re.VERBOSE | re.IGNORECASE,
)
_LINE = re.compile(r"[^\r\n\"']++")
_WHOLE_LINES = ("authorization", "cookie")  # headers whose values have parts


class Redactor:
    """Hides what has one of `words` in its name, and each of `secrets` wherever it is.

    A text or value in which nothing is to be hidden comes back as it is, the very same object.
    Redacting twice changes nothing more.
    """

    def __init__(self, words: Iterable[str] = (), secrets: Iterable[str] = ()) -> None:
        """`words` are parts of names, in any case; `_` also stands for `-`, a space or nothing."""
        given = [word for word in (word.strip(" _-").lower() for word in words) if word]
        names = "|".join(r"[_\ -]?".join(map(re.escape, _SEPARATOR.split(word))) for word in given)
        hints = "|".join([*map(re.escape, _HINTS), _HINTED_URL])
        self._hint = re.compile(f"{names}|{hints}" if names else hints)
        named = _NAMED % names if names else ""
        self._forms = re.compile(_FORMS + named, re.VERBOSE)
        self._name = re.compile(names) if names else None
        self._secrets = _spellings(secrets)

    def text(self, text: str) -> str:
        """`text` with what looks like a secret in it hidden. Linear in its length."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        low = text.lower()
        if self._hint.search(low) is None:
            return text
        if len(low) != len(text):  # some capitals have small letters of another length
            low = re.sub("[A-Z]+", lambda found: found[0].lower(), text)
        return self._without_forms(text, low)

    def json(self, value: Any) -> Any:
        """A JSON value with the members hidden whose names say so, and texts as `text` does."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                name: MASK if self._is_named(name) else self.json(inner)
                for name, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.json(inner) for inner in value]
        return value

    def json_text(self, text: str) -> str:
        """`text`, which should be JSON, as JSON with nothing secret in it."""
        known = any(secret in text for secret in self._secrets)
        # "\u" may spell a name in a way that only a parser sees.
        if not known and "\\u" not in text and self._hint.search(text.lower()) is None:
            return text
        try:
            shown = self.json(json.loads(text))
            return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError):  # whatever it is, it is not ours to show
            return f'"{MASK}"'

    def _is_named(self, name: object) -> bool:
        return self._name is not None and self._name.search(str(name).lower()) is not None

    def _without_forms(self, text: str, low: str) -> str:
        pieces: list[str] = []
        done = at = 0
        while (found := self._forms.search(low, at)) is not None:
            start, end = _hidden(text, found)
            at = max(end, found.end(), found.start() + 1)
            if end > start:
                pieces += text[done:start], MASK
                done = end
        return "".join([*pieces, text[done:]]) if pieces else text


def without_secrets(text: str) -> str:
    """`text`, a URL say, as anybody may see it."""
    return Redactor(DEFAULT_WORDS).text(text)


def _spellings(secrets: Iterable[str]) -> list[str]:
    """How a secret may look in a text, the longest first: as it is, and within Python, JSON, a URL.

    Of several in one, with spaces between (webhook secrets while one replaces another), each.
    """
    words = {word for secret in secrets for word in (secret, *secret.split())}
    ways = (str, lambda word: repr(word)[1:-1], lambda word: json.dumps(word)[1:-1], _in_url)
    spelt = {way(word) for word in words if len(word) >= SHORTEST for way in ways}
    return sorted(spelt, key=len, reverse=True)


def _in_url(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")


def _hidden(text: str, found: re.Match[str]) -> tuple[int, int]:
    """Where in `text` the secret is that `found` announces."""
    kind, end = found.lastgroup, found.end()
    if kind == "token":
        return found.start(), end
    if kind == "password":
        return found.span("password")
    if kind == "pem":
        close = _END_OF_PEM.search(text, end)
        return found.start(), len(text) if close is None else close.end()
    whole_line = kind == "name" and found["name"] in _WHOLE_LINES and found[0].rstrip()[-1] == ":"
    return _value(text, end, _LINE if whole_line else _BARE)


def _value(text: str, at: int, bare: re.Pattern[str]) -> tuple[int, int]:
    """The value that begins at `at`: what is in its quotes, its brackets, or up to a separator."""
    if text.startswith(MASK, at):
        return at, at + len(MASK)
    if (quoted := _QUOTED.match(text, at)) is not None:
        for kind in ("double", "single", "escaped"):
            if quoted[kind] is not None:
                return quoted.span(kind)
    if text[at : at + 1] in ("{", "[", "("):
        return at, _end_of_brackets(text, at)
    plain = bare.match(text, at)
    return (at, at) if plain is None else plain.span()


def _end_of_brackets(text: str, at: int) -> int:
    depth = 0
    for part in _BRACKET.finditer(text, at):
        if part["opens"]:
            depth += 1
        elif part[0] in "]})":
            depth -= 1
            if not depth:
                return part.end()
    return len(text)
