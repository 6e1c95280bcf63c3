"""What `send_email` takes, and how it becomes a message.

EmailMessage checks header values but not header names, and looks for CR and LF only. So all of it
is checked here, when the job is posted; what a message may say about its sender, its way and its
form is not the caller's to set.
"""

import re
from datetime import datetime
from email.headerregistry import Address, Group
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from typing import Any

import msgspec

from ..errors import InvalidInput
from .mail_address import parse_addresses, refuse_control

MAX_HEADERS = 50
MAX_VALUE = 900
"""Characters of a header value: with its name it fits a line of 998, SMTP's limit."""

LONGEST_FOLDED = 70

_SMTP = SMTP.clone(cte_type="7bit")
_UNFOLDED = SMTP.clone(cte_type="7bit", max_line_length=998)

_ALLOWED_HEADER = re.compile(
    r"x-[a-z0-9-]{1,70}|list-[a-z0-9-]{1,70}|in-reply-to|references|importance|priority"
    r"|auto-submitted|precedence|sensitivity|organization|keywords|comments|feedback-id"
    r"|thread-topic|thread-index",
    re.IGNORECASE,
)
_MEDIA_TYPE = re.compile(
    r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}",
    re.IGNORECASE,
)


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in the mail; `content` is base64 on the wire."""

    filename: str
    content: bytes
    content_type: str = "application/octet-stream"


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses are `ann@example.com` or `Ann Lee <ann@example.com>`, one or a list."""

    to: str | list[str] = []
    cc: str | list[str] = []
    bcc: str | list[str] = []
    reply_to: str | list[str] = []
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = {}
    attachments: list[Attachment] = []


def check(mail: Mail, max_recipients: int) -> None:
    """InvalidInput, with a pointer, for anything that no message can or may be made of."""
    addressed = recipients(mail)
    if not addressed:
        raise InvalidInput("there is no recipient in to, cc or bcc", "/to")
    if len(addressed) > max_recipients:
        raise InvalidInput(f"there are more than {max_recipients} recipients", "/to")
    if len(parse_addresses(mail.reply_to, "/reply_to")) > max_recipients:
        raise InvalidInput(f"there are more than {max_recipients} addresses", "/reply_to")
    _check_value(mail.subject, "/subject")
    for field, body in (("/text", mail.text), ("/html", mail.html)):
        if body is not None and "\0" in body:
            raise InvalidInput("NUL is not allowed here", field)
    _check_headers(mail.headers)
    for place, attachment in enumerate(mail.attachments):
        _check_attachment(attachment, f"/attachments/{place}")


def _check_headers(headers: dict[str, str]) -> None:
    if len(headers) > MAX_HEADERS:
        raise InvalidInput(f"there are more than {MAX_HEADERS} headers", "/headers")
    for name, value in headers.items():
        pointer = "/headers/" + name.replace("~", "~0").replace("/", "~1")
        if not _ALLOWED_HEADER.fullmatch(name):
            raise InvalidInput(
                "this header cannot be set; X-…, List-…, In-Reply-To, References, Importance, "
                "Priority, Auto-Submitted, Precedence and a few more can",
                pointer,
            )
        _check_value(value, pointer)


def _check_attachment(attachment: Attachment, pointer: str) -> None:
    refuse_control(attachment.filename, f"{pointer}/filename")
    if not 0 < len(attachment.filename) <= 255:
        raise InvalidInput("a file name has 1 to 255 characters", f"{pointer}/filename")
    if not _MEDIA_TYPE.fullmatch(attachment.content_type):
        raise InvalidInput(
            "expected a media type such as application/pdf", f"{pointer}/content_type"
        )


def _check_value(value: str, pointer: str) -> None:
    refuse_control(value, pointer)
    if len(value) > MAX_VALUE:
        raise InvalidInput(f"longer than {MAX_VALUE} characters", pointer)


def recipients(mail: Mail) -> list[str]:
    """Everyone the mail goes to, each once, in the order to, cc, bcc."""
    everyone = (
        parse_addresses(mail.to, "/to")
        + parse_addresses(mail.cc, "/cc")
        + parse_addresses(mail.bcc, "/bcc")
    )
    return list(dict.fromkeys(address.addr_spec for address in everyone))


def message_id(job_id: str, sender: Address) -> str:
    """The same for every attempt of a job, so that a second delivery can be recognised."""
    return f"<{job_id}@{sender.domain}>"


def compose(mail: Mail, sender: Address, job_id: str, date: datetime) -> bytes:
    """The message as it goes over the wire: CRLF, 7-bit, without Bcc."""
    message = EmailMessage(policy=_SMTP)
    message["From"] = sender
    to, cc = parse_addresses(mail.to, "/to"), parse_addresses(mail.cc, "/cc")
    if to or not cc:
        message["To"] = to or [Group("undisclosed-recipients", [])]
    if cc:
        message["Cc"] = cc
    if reply_to := parse_addresses(mail.reply_to, "/reply_to"):
        message["Reply-To"] = reply_to
    message["Subject"] = mail.subject
    message["Date"] = date
    message["Message-ID"] = message_id(job_id, sender)
    for name, value in mail.headers.items():
        message[name] = value
    if mail.text is not None or mail.html is None:
        message.set_content(mail.text or "")
        if mail.html is not None:
            message.add_alternative(mail.html, subtype="html")
    else:
        message.set_content(mail.html, subtype="html")
    for attachment in mail.attachments:
        maintype, _, subtype = attachment.content_type.partition("/")
        message.add_attachment(
            attachment.content, maintype=maintype, subtype=subtype, filename=attachment.filename
        )
    return message.as_bytes(policy=_FOLDING)


class _Folding(EmailPolicy):
    """SMTP's policy, except that a line with a long word is left alone.

    The standard one writes an address of 80 characters in List-Unsubscribe or References as
    "=?utf-8?q?…?=", which mail programs do not read there.
    """

    def fold_binary(self, name: str, value: Any) -> bytes:
        longest = max(map(len, str(value).split()), default=0)
        policy = _UNFOLDED if str(value).isascii() and longest > LONGEST_FOLDED else _SMTP
        return policy.fold_binary(name, value)


_FOLDING: EmailPolicy = _Folding().clone(linesep="\r\n", cte_type="7bit")
