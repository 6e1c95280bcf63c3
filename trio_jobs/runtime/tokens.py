"""Nobody could come in, or everybody sees what they send: said before the doors open."""

import logging

from ..config import Settings
from ..errors import ConfigError
from ..redaction import without_secrets
from ..service import Service

log = logging.getLogger(__name__)


async def demand_tokens(service: Service, settings: Settings) -> None:
    """Raises ConfigError when everybody needs a token and there is none."""
    if not settings.needs_tokens:
        return
    if not await service.tokens.all():
        raise ConfigError(
            f"{settings.bind}: whoever asks needs a token there, and none has been made. "
            "Make one: trio-jobs token create NAME --scope admin "
            f"--database {without_secrets(settings.database)}"
        )
    if settings.tls_cert is None:
        log.warning("tokens and jobs travel unencrypted: set tls_cert, or put TLS in front")
