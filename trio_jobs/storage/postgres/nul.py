"""NULs, which PostgreSQL's texts cannot hold, nor the JSON that it parses; ours may have them.

They are stored as two characters: U+10FFFF, which no text has (Unicode keeps it for such uses), and
0; that one itself, should a text have it nevertheless, as itself and 1. So nothing is lost. Looking
for it costs nothing: a Python string knows that it has no character beyond the BMP.
"""

import re

MARK = "\U0010ffff"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def hidden(text: str) -> str:
    """`text`, or JSON, as it can be stored."""
    if MARK in text:
        text = text.replace(MARK, MARK + "1")
    if "\0" in text:
        text = text.replace("\0", MARK + "0")
    if "\\u0000" in text:
        text = _ESCAPED_NUL.sub(rf"\1{MARK}0", text)
    return text


def shown(json: str) -> str:
    """JSON as it was before `hidden`."""
    if MARK not in json:
        return json
    return json.replace(MARK + "0", "\\u0000").replace(MARK + "1", MARK)


def hidden_text(text: str) -> str:
    """The same for a text that is no JSON: an escape in it is six characters like others."""
    if MARK in text:
        text = text.replace(MARK, MARK + "1")
    return text.replace("\0", MARK + "0") if "\0" in text else text


def shown_text(text: str) -> str:
    """As it was before `hidden_text`."""
    if MARK not in text:
        return text
    return text.replace(MARK + "0", "\0").replace(MARK + "1", MARK)
