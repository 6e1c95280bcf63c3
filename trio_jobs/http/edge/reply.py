"""What the edge writes: status lines, the Date line, and the answers it gives itself."""

import json
from email.utils import formatdate
from http import HTTPStatus
from time import time

STATUS_LINES = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
    if status in HTTPStatus._value2member_map_
    else b"HTTP/1.1 %d \r\n" % status
    for status in range(200, 600)
}
"""The first line of a final response, by status; anything else is the app's mistake."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

PROBLEMS = {
    "bad-request": (400, "The request is not valid HTTP"),
    "bad-framing": (400, "Where the request's body ends is not clear"),
    "bad-host": (400, "The Host header is missing or not valid"),
    "upgrade-refused": (400, "Connections are not upgraded"),
    "request-timeout": (408, "The request came too slowly"),
    "body-too-large": (413, "The request's body is too large"),
    "url-too-long": (414, "The request's target is too long"),
    "expectation-failed": (417, "Only 100-continue can be expected"),
    "head-too-large": (431, "The request's head is too large"),
    "internal-error": (500, "The server failed"),
    "method-unknown": (501, "This method is not implemented"),
    "too-many-connections": (503, "Too many connections"),
    "http-version": (505, "HTTP/1.1 is spoken here"),
}
"""Every problem the edge answers itself: slug -> (status, title)."""


class Refusal(Exception):
    """The edge answers this request itself, with a problem, and closes the connection."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(slug, detail)
        self.slug = slug
        self.detail = detail

    @property
    def status(self) -> int:
        """The status that goes on the wire."""
        return PROBLEMS[self.slug][0]

    def headers_and_body(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The parts of the answer that do not depend on the protocol's version."""
        status, title = PROBLEMS[self.slug]
        body = json.dumps(
            {
                "type": f"/problems/{self.slug}",
                "title": title,
                "status": status,
                "detail": self.detail,
            }
        ).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        return headers, body

    def to_bytes(self, date_line: bytes, *, with_body: bool = True) -> bytes:
        """The whole HTTP/1.1 response. `with_body` is False for HEAD."""
        headers, body = self.headers_and_body()
        lines = [STATUS_LINES[self.status], date_line]
        lines += [b"%b: %b\r\n" % header for header in headers]
        lines.append(b"connection: close\r\n\r\n")
        if with_body:
            lines.append(body)
        return b"".join(lines)


class DateLine:
    """`date: …` as a header line, made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        """The line for this second, with its CRLF."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line
