"""Which URLs a webhook may name. Where they lead is checked by `egress`, when it connects."""

import re

import httpx

from ..errors import InvalidInput

MAX_URL = 2_048


def check_url(url: str) -> None:
    """InvalidInput at `/url` unless this is a plain http(s) URL. Nothing is looked up."""

    def refuse(why: str) -> InvalidInput:
        return InvalidInput(f"the URL {why}", "/url")

    if len(url) > MAX_URL:
        raise refuse(f"is longer than {MAX_URL} characters")
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise refuse("contains spaces, backslashes or control characters")
    try:
        parsed = httpx.URL(url)  # the parser that will connect: two parsers could disagree
        host, port = parsed.raw_host.decode("ascii"), parsed.port
    except (httpx.InvalidURL, UnicodeError) as error:
        raise refuse(f"cannot be read: {error}") from None
    if parsed.scheme not in ("http", "https"):
        raise refuse("must begin with http:// or https://")
    if parsed.userinfo or "@" in re.split("[/?#]", url.partition("//")[2])[0]:
        raise refuse("contains a user name; send credentials in headers")
    if port == 0 or (port or 0) > 65_535:
        raise refuse("has an impossible port")
    if "%" in host:
        raise refuse("names a network interface")
    labels = host.rstrip(".").split(".")
    if not host or len(host) > 253 or not all(0 < len(label) <= 63 for label in labels):
        raise refuse("has no usable host name")
