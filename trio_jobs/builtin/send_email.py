"""`send_email`: a mail into the outbox, or over SMTP when `smtp_host` is set."""

from datetime import UTC, datetime

import msgspec

from ..config import Settings
from ..errors import ConfigError, InvalidInput
from ..registry import Ctx, Handler
from . import mail_message, outbox
from .mail_address import parse_address
from .mail_message import Mail


class Sent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`recipients` took the mail; `refused` tells for others what the server said of them.

    `size` is in bytes, of the message as it was stored or sent. `transport` is "outbox" or "smtp".
    """

    message_id: str
    transport: str
    recipients: list[str]
    refused: dict[str, str] = {}
    size: int


def handler(settings: Settings) -> Handler:
    """The type `send_email`; ConfigError when `mail_from` is not an address."""
    try:
        sender = parse_address(settings.mail_from, "")
    except InvalidInput as error:
        raise ConfigError(f"mail_from: {error.detail}") from None

    def check(mail: Mail) -> None:
        mail_message.check(mail, settings.max_recipients)

    def run(mail: Mail, ctx: Ctx) -> Sent:
        message = mail_message.compose(mail, sender, ctx.job_id, datetime.now(UTC))
        recipients, refused, size = mail_message.recipients(mail), {}, len(message)
        ctx.checkpoint()
        if settings.smtp_host is None:
            size = outbox.deliver(settings.data_dir, ctx.job_id, message)
        else:
            from . import smtp  # smtplib is not needed for the outbox

            refused = smtp.deliver(settings, sender.addr_spec, recipients, message, ctx.checkpoint)
        return Sent(
            message_id=mail_message.message_id(ctx.job_id, sender),
            transport="outbox" if settings.smtp_host is None else "smtp",
            recipients=[address for address in recipients if address not in refused],
            refused=refused,
            size=size,
        )

    return Handler("send_email", run, input=Mail, summary="Sends a mail.", check=check)
