"""Mail addresses, read strictly: what passes here cannot break a header or an SMTP command."""

import re
from email.headerregistry import Address

from ..errors import InvalidInput

MAX_ADDRESS = 400
"""Characters, with the name."""
MAX_NAME = 100
"""Python folds non-ASCII names in quadratic time: fifty of 400 characters took 6 s."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What may not stand in a header: Python's folding breaks lines at more than CR and LF."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SPEC = re.compile(
    rf"(?=[^@]{{1,64}}@)(?=.{{3,254}}$){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"
)
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<spec>[^<>]*)>")


def refuse_control(value: str, pointer: str) -> None:
    """InvalidInput when `value` has a line break or another control character."""
    if CONTROL.search(value):
        raise InvalidInput("line breaks and control characters are not allowed here", pointer)


def parse_address(text: str, pointer: str) -> Address:
    """`ann@example.com` or `Ann Lee <ann@example.com>`; else InvalidInput at `pointer`.

    Quoted local parts, address literals and non-ASCII addresses are not taken.
    """
    if len(text) > MAX_ADDRESS:
        raise InvalidInput(f"the address is longer than {MAX_ADDRESS} characters", pointer)
    refuse_control(text, pointer)
    name, spec = "", text.strip()
    if named := _NAMED.fullmatch(spec):
        name, spec = named["name"].strip(), named["spec"].strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = name[1:-1].replace('\\"', '"')
    if len(name) > MAX_NAME:
        raise InvalidInput(f"the name is longer than {MAX_NAME} characters", pointer)
    if not _SPEC.fullmatch(spec):
        hint = "" if spec.isascii() else "; write an international domain in its xn-- form"
        raise InvalidInput(f"not a mail address: expected name@example.com{hint}", pointer)
    local, _, domain = spec.rpartition("@")
    return Address(display_name=name, username=local, domain=domain)


def parse_addresses(value: str | list[str], pointer: str) -> list[Address]:
    """One address, or a list of them."""
    if isinstance(value, str):
        return [parse_address(value, pointer)]
    return [parse_address(text, f"{pointer}/{place}") for place, text in enumerate(value)]
