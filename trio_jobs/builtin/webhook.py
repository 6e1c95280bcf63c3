"""`webhook`: one HTTP request to somebody's server.

2xx is done. 408, 425, 429, 5xx and broken connections are tried again, when the server says so
(Retry-After) or by backoff. Any other answer is final: redirects are not followed.
"""

import codecs
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

import httpx
import msgspec
import trio

from ..clock import to_rfc3339
from ..config import Settings
from ..egress import Egress
from ..errors import ConfigError, Fail, InvalidInput, Retry
from ..registry import Ctx, Handler
from . import signing
from .webhook_url import check_url

MAX_BODY = 64_000
"""Bytes read of an answer; the connection is closed after them."""
MAX_HEADERS = 64
DAY = 86_400.0
RETRIED = {408, 425, 429}

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]{0,3998}[\x21-\x7e])?)?")
_RESERVED = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect"
    r"|accept-encoding|proxy-.*|webhook-.*|trio-jobs-.*",
    re.IGNORECASE,
)


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request: `json` is sent as it was written, `body` as UTF-8 text.

    `timeout` is in seconds and covers everything from the look-up of the name to the last byte.
    `secret` (`whsec_…`) signs the request in place of the setting `webhook_secret`.
    """

    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "POST"
    headers: dict[str, str] = {}
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    body: str | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None
    secret: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the server said. `body` is base64 when `body_encoding` says so; `elapsed` in seconds."""

    status: int
    headers: dict[str, str]
    body: str
    body_encoding: Literal["text", "base64"] = "text"
    elapsed: float
    truncated: bool


def handler(settings: Settings) -> Handler:
    """The type `webhook`; ConfigError when `webhook_allow` or `webhook_secret` is wrong."""
    egress = Egress(settings.webhook_allow)
    if settings.webhook_secret is not None:
        try:
            signing.keys(settings.webhook_secret)
        except ValueError as error:
            raise ConfigError(f"webhook_secret: {error}") from None

    def check_this(webhook: Webhook) -> None:
        check(webhook, settings.webhook_timeout)

    async def run(webhook: Webhook, ctx: Ctx) -> Answer:
        limit = webhook.timeout or settings.webhook_timeout
        try:
            with trio.fail_after(limit):
                return await send(webhook, ctx, egress, settings.webhook_secret)
        except trio.TooSlowError:
            raise Retry(f"The server did not answer within {limit:g} seconds.") from None
        except httpx.TransportError as error:
            raise Retry(f"The server could not be reached: {_reason(error)}.") from error

    return Handler(
        "webhook", run, input=Webhook, summary="Sends one HTTP request.", check=check_this
    )


def check(webhook: Webhook, longest: float) -> None:
    """InvalidInput for what could never be sent; `longest` is the largest timeout in seconds."""
    check_url(webhook.url)
    if webhook.json is not msgspec.UNSET and webhook.body is not None:
        raise InvalidInput("json and body exclude each other", "/body")
    if webhook.timeout is not None and webhook.timeout > longest:
        raise InvalidInput(f"this server allows {longest:g} seconds at most", "/timeout")
    if len(webhook.headers) > MAX_HEADERS:
        raise InvalidInput(f"there are more than {MAX_HEADERS} headers", "/headers")
    for name, value in webhook.headers.items():
        pointer = "/headers/" + name.replace("~", "~0").replace("/", "~1")
        if not _NAME.fullmatch(name):
            raise InvalidInput("this is not a header name", pointer)
        if _RESERVED.fullmatch(name):
            raise InvalidInput("this header is set by trio_jobs", pointer)
        if not _VALUE.fullmatch(value):
            raise InvalidInput("a header value is up to 4,000 printable ASCII characters", pointer)
    if webhook.secret is not None:
        try:
            signing.keys(webhook.secret)
        except ValueError as error:
            raise InvalidInput(str(error), "/secret") from None


async def send(webhook: Webhook, ctx: Ctx, egress: Egress, secret: str | None) -> Answer:
    """Sends it once and judges the answer: returned, or raised as Retry or Fail."""
    content, headers = _content(webhook)
    headers["Trio-Jobs-Deadline"] = to_rfc3339(ctx.deadline)
    if ctx.traceparent is not None and "traceparent" not in map(str.lower, headers):
        headers["traceparent"] = ctx.traceparent
    if key := webhook.secret or secret:
        headers.update(signing.signature_headers(key, ctx.job_id, int(time.time()), content))
    started = trio.current_time()
    async with (
        await egress.client() as client,
        client.stream(webhook.method, webhook.url, content=content, headers=headers) as response,
    ):
        body, truncated = await _read(response)
    text, encoding = _as_text(body, truncated)
    answer = Answer(
        status=response.status_code,
        headers=dict(response.headers),
        body=text,
        body_encoding=encoding,
        elapsed=round(trio.current_time() - started, 6),
        truncated=truncated,
    )
    _judge(answer)
    return answer


def _content(webhook: Webhook) -> tuple[bytes, httpx.Headers]:
    headers = httpx.Headers({"User-Agent": "trio-jobs"})
    content = b""
    if webhook.json is not msgspec.UNSET:
        content, headers["Content-Type"] = bytes(webhook.json), "application/json"
    elif webhook.body is not None:
        content, headers["Content-Type"] = webhook.body.encode(), "text/plain; charset=utf-8"
    headers.update(webhook.headers)
    return content, headers


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """The first MAX_BODY bytes, and whether there were more."""
    body = bytearray()
    try:
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_BODY:
                # Breaking off would leave four async generators to the garbage collector.
                # With its socket closed, the loop ends by itself.
                await response.extensions["network_stream"].aclose()
    except httpx.TransportError:
        if len(body) <= MAX_BODY:
            raise
    return bytes(body[:MAX_BODY]), len(body) > MAX_BODY


def _as_text(body: bytes, truncated: bool) -> tuple[str, Literal["text", "base64"]]:
    with suppress(UnicodeDecodeError):
        # a cut may go through a character: it is dropped
        text = codecs.getincrementaldecoder("utf-8")().decode(body, final=not truncated)
        if "\0" not in text:
            return text, "text"
    return codecs.encode(body, "base64").decode("ascii").replace("\n", ""), "base64"


def _judge(answer: Answer) -> None:
    if 200 <= answer.status < 300:
        return
    message = f"The server answered {answer.status}."
    if answer.body_encoding == "text" and answer.body:
        message = f"{message[:-1]}: {' '.join(answer.body[:300].split())}"
    if answer.status in RETRIED or answer.status >= 500:
        raise Retry(message, retry_after(answer.headers.get("retry-after"), time.time()))
    raise Fail(message)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), a day at most.

    None when there is none or it says nothing. RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,20}", value):
        return min(float(value), DAY)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:  # "-0000": UTC, of unknown origin
            moment = moment.replace(tzinfo=UTC)
        wait = moment - datetime.fromtimestamp(now, UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), DAY)


def _reason(error: BaseException) -> str:
    """The plainest words for it: a TLS failure arrives wrapped in exceptions without any."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate was refused ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})"
    return next((str(cause) for cause in chain if str(cause)), type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
