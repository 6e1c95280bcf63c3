"""Real mail: one conversation with the mail server in `smtp_host`.

The steps of smtplib's `sendmail` are taken one by one, with a checkpoint between them, so that a
timeout or cancel need not wait for fifty recipients; and so that a refusal for good (5xx) is told
from one for now (4xx), which is tried again.
"""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..config import Settings
from ..errors import Fail


def deliver(
    settings: Settings,
    sender: str,
    recipients: list[str],
    message: bytes,
    checkpoint: Callable[[], None],
) -> dict[str, str]:
    """Sends it to all of `recipients` that the server takes, and returns what it said to others.

    Raises Fail when the server refuses the sender, everyone, or the message for good. Anything
    else (no connection, no trust in its certificate, a refusal for now) is an OSError, of which
    smtplib's exceptions are a kind.
    """
    with _connection(settings, sender.rpartition("@")[2], checkpoint) as server:
        options = [f"size={len(message)}"] if server.has_extn("size") else []
        code, answer = server.mail(sender, options)
        if code != 250:
            _refused(code, "the sender", _text(answer))
            raise smtplib.SMTPSenderRefused(code, answer, sender)
        refused = _address(server, recipients, checkpoint)
        checkpoint()
        # From here on the server may have taken it: no checkpoint, and a farewell that goes wrong
        # is not our business any more.
        try:
            code, answer = server.data(message)
        except smtplib.SMTPDataError as error:
            _refused(error.smtp_code, "the message", _text(error.smtp_error))
            raise
        if code != 250:
            _refused(code, "the message", _text(answer))
            raise smtplib.SMTPDataError(code, answer)
        return {
            recipient: f"{code} {_text(answer)}" for recipient, (code, answer) in refused.items()
        }


@contextmanager
def _connection(
    settings: Settings, our_name: str, checkpoint: Callable[[], None]
) -> Iterator[smtplib.SMTP]:
    """A connection that is encrypted and logged in as the settings say, closed in any case."""
    server: smtplib.SMTP
    host, timeout = settings.smtp_host or "", settings.smtp_timeout
    # a name of our own: smtplib's default asks the DNS for one
    if settings.smtp_tls == "tls":
        server = smtplib.SMTP_SSL(
            host, settings.smtp_port, our_name, timeout=timeout, context=_trusted(settings)
        )
    else:
        server = smtplib.SMTP(host, settings.smtp_port, our_name, timeout=timeout)
    try:
        checkpoint()
        server.ehlo_or_helo_if_needed()
        if settings.smtp_tls == "starttls":
            server.starttls(context=_trusted(settings))
            server.ehlo_or_helo_if_needed()
        if settings.smtp_username is not None:
            checkpoint()
            server.login(settings.smtp_username, settings.smtp_password or "")
        checkpoint()
        yield server
        with suppress(OSError):
            server.quit()
    finally:
        server.close()


def _address(
    server: smtplib.SMTP, recipients: list[str], checkpoint: Callable[[], None]
) -> dict[str, tuple[int, bytes]]:
    """Names the recipients; returns those that were refused, if not all of them were."""
    refused: dict[str, tuple[int, bytes]] = {}
    for recipient in recipients:
        checkpoint()
        code, answer = server.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = code, answer
    if len(refused) == len(recipients):
        code, answer = min(refused.values())  # 4xx before 5xx: one that may be taken later
        _refused(code, "every recipient", _text(answer))
        raise smtplib.SMTPRecipientsRefused(refused)
    return refused


def _refused(code: int, what: str, answer: str) -> None:
    if code >= 500:
        raise Fail(f"The mail server refused {what}: {code} {answer}")


def _text(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())[:500]


def _trusted(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.smtp_ca_file is not None:
        context.load_verify_locations(cafile=settings.smtp_ca_file)
    return context
