"""The built-in job types. To add one: a module with a `handler`, and a line here."""

from ..config import Settings
from ..registry import Handler
from . import noop, process_file, send_email, sleep, webhook


def handlers(settings: Settings) -> list[Handler]:
    """Every built-in type; ConfigError when a setting of one of them is wrong."""
    return [
        noop.handler(),
        sleep.handler(),
        send_email.handler(settings),
        process_file.handler(settings),
        webhook.handler(settings),
    ]
