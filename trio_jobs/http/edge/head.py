"""The head of a request: bytes in, a checked `RequestHead` or a `Refusal` out. No I/O.

A head reaches llhttp whole, never in pieces, and only after the checks that llhttp does not
make: it takes HTTP/0.9 lines that end in a bare LF, several spaces in the request line, the
words of RTSP and ICE, `Transfer-Encoding: gzip, chunked`, and Transfer-Encoding on HTTP/1.0.
Two readers must agree before the app hears of a request. Bodies are counted in `body`.
"""

import re
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from ...config import Settings
from .reply import Refusal

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
MAX_LENGTH_DIGITS = 18  # below 2**63, where llhttp and other languages overflow

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]+) HTTP/1\.([01])\r\n")
_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{1,5})?"
    rb"|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?"
)
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?][!-~]*)?", re.IGNORECASE)
# The headers that may come once, and what a second one is.
_SINGLE = {
    b"host": "bad-host",
    b"content-length": "bad-framing",
    b"transfer-encoding": "bad-framing",
    b"expect": "bad-request",
    b"upgrade": "upgrade-refused",
}


class RequestHead:
    """A request as its head describes it.

    `length` is the body's Content-Length (0 without a body), or None when it is chunked.
    `keep_alive` is what the client asks for; `expects` is True for `Expect: 100-continue`.
    """

    __slots__ = (
        "expects",
        "headers",
        "http_version",
        "keep_alive",
        "length",
        "method",
        "path",
        "query_string",
        "raw_path",
    )

    method: str
    raw_path: bytes
    path: str
    query_string: bytes
    http_version: str
    headers: list[tuple[bytes, bytes]]
    length: int | None
    keep_alive: bool
    expects: bool

    def __init__(self, raw: bytes, settings: Settings) -> None:
        """Read one whole head, up to and with its empty line.

        Raises Refusal for whatever is not plainly HTTP/1.0 or HTTP/1.1.
        """
        method, target, minor = _request_line(raw, settings.max_url)
        if len(raw) > settings.max_head:
            raise Refusal("head-too-large", f"the head is longer than {settings.max_head} bytes")
        lines = raw.count(b"\r\n")
        if raw.count(b"\n") != lines or raw.count(b"\r") != lines:
            raise Refusal("bad-request", "a line of the head does not end in CR LF")
        if b"\n " in raw or b"\n\t" in raw:
            raise Refusal("bad-request", "a header is folded over two lines")
        if lines - 2 > settings.max_headers:
            raise Refusal("head-too-large", f"there are more than {settings.max_headers} headers")
        self.headers = []
        self.http_version = "1.1" if minor == b"1" else "1.0"
        self.keep_alive = minor == b"1"
        self.length = 0
        self.expects = False
        self.method = method.decode()
        if method in (b"CONNECT", b"TRACE"):
            raise Refusal("method-unknown", f"{self.method} is not implemented")
        try:
            HttpRequestParser(self).feed_data(raw)
        except HttpParserUpgrade:
            raise Refusal("upgrade-refused", _NO_UPGRADE) from None
        except HttpParserError as error:
            if type(error).__name__ == "HttpParserInvalidMethodError":
                raise Refusal("method-unknown", "the method is not known") from None
            raise Refusal("bad-request", f"the head is not valid: {error}") from None
        host = self._check_headers()
        self._set_target(target, host)

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp's callback."""
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def _check_headers(self) -> bytes | None:
        """Read the headers that matter here; the Host, when there is one."""
        found: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name in _SINGLE:
                if name in found:
                    raise Refusal(_SINGLE[name], f"there are two {name.decode()} headers")
                found[name] = value
            elif name == b"connection":
                self._note_connection(value)
        host = found.get(b"host")
        if host is None:
            if self.http_version == "1.1":
                raise Refusal("bad-host", "HTTP/1.1 needs a Host header")
        elif _HOST.fullmatch(host) is None:
            raise Refusal("bad-host", "the Host header is not a name with a port")
        if len(found) > 1 or host is None:
            self._check_body(found)
        return host

    def _check_body(self, found: dict[bytes, bytes]) -> None:
        if b"upgrade" in found:
            raise Refusal("upgrade-refused", _NO_UPGRADE)
        length = found.get(b"content-length")
        coding = found.get(b"transfer-encoding")
        if coding is not None:
            if length is not None:
                raise Refusal("bad-framing", "both Content-Length and Transfer-Encoding are given")
            if coding.lower() != b"chunked":
                raise Refusal("bad-framing", "the only Transfer-Encoding is `chunked`")
            if self.http_version != "1.1":
                raise Refusal("bad-framing", "HTTP/1.0 has no Transfer-Encoding")
            self.length = None
        elif length is not None:
            if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
                raise Refusal("bad-framing", "the Content-Length is not a number of bytes")
            self.length = int(length)
        expect = found.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise Refusal("expectation-failed", "the Expect header asks for more")
            self.expects = self.http_version == "1.1"

    def _note_connection(self, value: bytes) -> None:
        for token in value.lower().split(b","):
            word = token.strip(b" \t")
            if word == b"close":
                self.keep_alive = False
                return
            if word == b"keep-alive" and self.http_version == "1.0":
                self.keep_alive = True

    def _set_target(self, target: bytes, host: bytes | None) -> None:
        if target[0] != 0x2F:  # not a path: what proxies are sent, or `*`
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is None:
                raise Refusal("bad-request", "the target is not a path")
            # A Host that contradicts the target means that somebody on the way believed the other.
            if host is not None and absolute[1].lower() != host.lower():
                raise Refusal("bad-host", "the Host header contradicts the target")
            target = absolute[2] or b"/"
            if target[0] != 0x2F:
                target = b"/" + target
        if b"#" in target:
            raise Refusal("bad-request", "the target has a fragment")
        self.raw_path, _, self.query_string = target.partition(b"?")
        path = self.raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
            if "\0" in path:
                raise Refusal("bad-request", "the path has a NUL in it")
        self.path = path


_NO_UPGRADE = "send the request as plain HTTP/1.1, without an Upgrade header"


def check_unfinished(raw: bytes, max_head: int, max_url: int) -> None:
    """Refuse a head that cannot become valid, before the rest of it has come.

    Raises Refusal when it is too long already, or when its beginning is not HTTP.
    """
    line_end = raw.find(b"\n")
    if line_end < 0:
        if len(raw) > max_url + 64:
            raise Refusal("url-too-long", f"the target is longer than {max_url} bytes")
        if not raw[:1].isalpha() and raw[:1] != b"\r":
            raise Refusal("bad-request", "this is not HTTP (TLS on a plain port, perhaps)")
    else:
        _request_line(raw, max_url)
    if len(raw) > max_head:
        raise Refusal("head-too-large", f"the head is longer than {max_head} bytes")


def _request_line(raw: bytes, max_url: int) -> tuple[bytes, bytes, bytes]:
    match = _REQUEST_LINE.match(raw)
    if match is None:
        if raw.startswith(HTTP2_PREFACE[:16]):
            raise Refusal("http-version", "HTTP/2 is spoken over TLS only")
        raise Refusal("bad-request", "the first line is not `METHOD target HTTP/1.1`")
    method, target, minor = match.groups()
    if len(target) > max_url:
        raise Refusal("url-too-long", f"the target is longer than {max_url} bytes")
    return method, target, minor
