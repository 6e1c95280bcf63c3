"""What handlers need to run without a queue: a context, settings, and servers of our own."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trio_jobs.config import Settings
from trio_jobs.registry import Handler

JOB_ID = "019a0000-0000-7000-8000-000000000001"


@dataclass
class FakeCtx:
    """A registry.Ctx, for one attempt."""

    job_id: str = JOB_ID
    attempt: int = 1
    max_attempts: int = 5
    deadline: float = 0.0
    upload: bytes | None = None
    content_type: str = "application/octet-stream"
    traceparent: str | None = None
    on_checkpoint: Callable[[], None] = field(default=lambda: None)

    def checkpoint(self) -> None:
        self.on_checkpoint()


def decode(handler: Handler, payload: dict[str, Any]) -> Any:
    """A payload on its way in: as JSON, validated and checked."""
    return handler.decode(msgspec.json.encode(payload))


def on_the_wire(result: Any) -> Any:
    """A result on its way out."""
    return msgspec.json.decode(msgspec.json.encode(result))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything beneath tmp_path; loopback is open to webhooks."""
    files = tmp_path / "in"
    files.mkdir()
    return Settings(
        data_dir=str(tmp_path / "data"), files_dir=str(files), webhook_allow=("127.0.0.1",)
    )


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """For servers that show the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
