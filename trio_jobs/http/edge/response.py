"""A response as bytes: ASGI's messages in, HTTP/1.1 out. No I/O."""

from collections.abc import Iterable
from typing import Any

from .reply import STATUS_LINES

Headers = Iterable[tuple[bytes, bytes]]

# How the client knows where the body ends.
_NO_BODY, _BY_LENGTH, _CHUNKED, _BY_CLOSE = range(4)

# `connection` and the others of this hop are the edge's to write; the app may ask to close.
_OURS = frozenset(
    (b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"content-length", b"date")
)


class Response:
    """The response to one request.

    `started` when the app has named the status, `head_sent` when it is on its way, `complete`
    when the last byte is. `keep_alive` may only fall. `sent` counts the body's bytes.
    """

    __slots__ = (
        "_framing",
        "_left",
        "_method",
        "_version",
        "complete",
        "head_sent",
        "headers",
        "keep_alive",
        "sent",
        "started",
        "status",
    )

    def __init__(self, method: str, http_version: str, keep_alive: bool) -> None:
        self._method = method
        self._version = http_version
        self.keep_alive = keep_alive
        self.headers: Headers = ()
        self._framing = _NO_BODY
        self._left = 0
        self.status = 0
        self.sent = 0
        self.started = self.head_sent = self.complete = False

    def start(self, message: dict[str, Any]) -> bool:
        """Take `http.response.start`. True when the head must not wait for the body.

        That is for an event stream: the browser reports it as open when the head has come,
        and the first event may be far away. Raises ValueError and RuntimeError.
        """
        if self.started:
            raise RuntimeError("http.response.start was sent already")
        status = message["status"]
        if status not in STATUS_LINES:
            raise ValueError(f"{status!r} is not the status of a response")
        self.status = status
        headers = message.get("headers", ())
        self.headers = headers = headers if type(headers) is list else list(headers)
        self.started = True
        for name, value in headers:
            if value[:17] == b"text/event-stream" and name.lower() == b"content-type":
                return True
        return False

    def add(self, body: bytes, more: bool, date_line: bytes) -> bytes:
        """Take `http.response.body`: the bytes to send now, with the head before the first.

        Raises RuntimeError, ValueError and TypeError for what would break the framing.
        """
        if not self.started or self.complete:
            raise RuntimeError("http.response.body has no place here")
        size = len(body)
        head = b""
        if not self.head_sent:
            head = self._head(None if more else size, date_line)
        framing = self._framing
        if framing == _BY_LENGTH:
            if size > self._left:
                self.keep_alive = False
                raise RuntimeError("the body is longer than its Content-Length")
            self._left -= size
            if not more and self._left:
                self.keep_alive = False
                raise RuntimeError("the body is shorter than its Content-Length")
        elif framing == _CHUNKED:
            body = b"%x\r\n%b\r\n" % (size, body) if size else b""
            if not more:
                body += b"0\r\n\r\n"
        elif framing == _NO_BODY:
            body, size = b"", 0
        data = head + body if head else body
        self.sent += size
        self.head_sent = True
        self.complete = not more
        return data

    def _head(self, size: int | None, date_line: bytes) -> bytes:
        """`size` is the whole body's when it is known."""
        lines = [STATUS_LINES[self.status]]
        length: int | None = None
        for name, value in self.headers:
            lower = name.lower()
            if lower not in _OURS:
                lines.append(b"%b: %b\r\n" % (name, value))
            elif lower == b"content-length":
                length = _as_length(value, length)
            elif lower == b"date":
                date_line = b"date: %b\r\n" % value
            elif lower == b"connection" and value.lower() == b"close":
                self.keep_alive = False
        lines.append(date_line)
        self._frame(lines, length, size)
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self._version == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        head = b"".join(lines)
        # One line feed a line, or a value has smuggled one in (response splitting).
        count = len(lines)
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise ValueError("a header holds a control character")
        return head + b"\r\n"

    def _frame(self, lines: list[bytes], length: int | None, size: int | None) -> None:
        if self.status in (204, 304) or self._method == "HEAD":
            self._framing = _NO_BODY
            # 204 has no length at all; that of 304 and HEAD is the one that GET would give.
            if length is None and self._method == "HEAD":
                length = size or None  # an app that sends no body to HEAD does not tell
            if length is not None and self.status != 204:
                lines.append(b"content-length: %d\r\n" % length)
            return
        if length is None:
            length = size
        if length is not None:
            self._framing = _BY_LENGTH
            self._left = length
            lines.append(b"content-length: %d\r\n" % length)
        elif self._version == "1.1":
            self._framing = _CHUNKED
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self._framing = _BY_CLOSE
            self.keep_alive = False


def _as_length(value: bytes, before: int | None) -> int:
    if not value.isdigit() or before is not None:
        raise ValueError("the Content-Length is not one number")
    return int(value)
