"""`send_email` to a real mail server on loopback."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from trio_jobs.builtin import send_email
from trio_jobs.config import Settings
from trio_jobs.errors import Fail

from .conftest import JOB_ID, FakeCtx, decode, on_the_wire

PAYLOAD = {
    "to": ["ann@example.com", "bo@example.com"],
    "bcc": "cy@example.com",
    "subject": "Grüße",
    "text": "a\n.\nb",
}


class Postmaster:
    """Keeps what arrives; refuses as told, by address or by step."""

    def __init__(self, refuse: dict[str, str] | None = None) -> None:
        self.refuse = refuse or {}
        self.envelopes: list[Envelope] = []

    async def handle_MAIL(self, _s: Any, _c: Any, envelope: Any, address: str, _o: Any) -> str:  # noqa: N802
        envelope.mail_from = address
        return self.refuse.get("MAIL", "250 OK")

    async def handle_RCPT(self, _s: Any, _c: Any, envelope: Any, address: str, _o: Any) -> str:  # noqa: N802
        answer = self.refuse.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _s: Any, _c: Any, envelope: Any) -> str:  # noqa: N802
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        self.envelopes.append(envelope)
        return "250 taken"


@contextmanager
def mail_server(postmaster: Postmaster, **options: Any) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(postmaster, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def plain(settings: Settings, port: int) -> Settings:
    return replace(
        settings,
        smtp_host="localhost",
        smtp_port=port,
        smtp_tls="none",
        mail_from="jobs@example.org",
        smtp_timeout=10.0,
    )


def run(settings: Settings, ctx: FakeCtx | None = None, payload: Any = PAYLOAD) -> Any:
    handler = send_email.handler(settings)
    return on_the_wire(handler.run(decode(handler, payload), ctx or FakeCtx()))


def test_a_mail_arrives_with_its_envelope(settings: Settings) -> None:
    postmaster = Postmaster()
    with mail_server(postmaster) as port:
        result = run(plain(settings, port))
    [envelope] = postmaster.envelopes
    assert envelope.mail_from == "jobs@example.org"
    assert envelope.rcpt_tos == ["ann@example.com", "bo@example.com", "cy@example.com"]
    content = envelope.content
    assert isinstance(content, bytes)
    assert b"\r\n\r\na\r\n.\r\nb\r\n" in content
    assert b"cy@example.com" not in content
    assert f"Message-ID: <{JOB_ID}@example.org>".encode() in content
    assert result == {
        "message_id": f"<{JOB_ID}@example.org>",
        "transport": "smtp",
        "recipients": envelope.rcpt_tos,
        "size": len(content),
    }
    assert not Path(settings.data_dir).exists()


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_login_goes_over_a_verified_connection(
    settings: Settings, server_tls: ssl.SSLContext, certificate: tuple[Path, Path], tls: str
) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def authenticate(_s: Any, _session: Any, _e: Any, _m: Any, data: Any) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)

    postmaster = Postmaster()
    options: dict[str, Any] = {"authenticator": authenticate}
    if tls == "starttls":
        options |= {"tls_context": server_tls, "require_starttls": True, "auth_required": True}
    else:
        options |= {"ssl_context": server_tls, "auth_require_tls": False}
    with mail_server(postmaster, **options) as port:
        ours = replace(
            plain(settings, port),
            smtp_tls=tls,
            smtp_ca_file=str(certificate[0]),
            smtp_username="me",
            smtp_password="right",
        )
        assert run(ours)["transport"] == "smtp"
        assert len(postmaster.envelopes) == 1
        with pytest.raises(OSError, match="535"):  # the operator may mend it: tried again
            run(replace(ours, smtp_password="wrong"))
    assert seen[0] == (b"me", b"right")


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_no_mail_goes_to_a_server_that_cannot_prove_its_name(
    settings: Settings, server_tls: ssl.SSLContext, tls: str
) -> None:
    postmaster = Postmaster()
    options = {"tls_context" if tls == "starttls" else "ssl_context": server_tls}
    with (
        mail_server(postmaster, **options) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        run(replace(plain(settings, port), smtp_tls=tls))
    assert postmaster.envelopes == []


def test_starttls_is_not_given_up_when_the_server_lacks_it(settings: Settings) -> None:
    postmaster = Postmaster()
    with (
        mail_server(postmaster) as port,
        pytest.raises(OSError, match="STARTTLS"),
    ):
        run(replace(plain(settings, port), smtp_tls="starttls"))
    assert postmaster.envelopes == []


@pytest.mark.parametrize(
    "refuse",
    [
        {"MAIL": "550 not you"},
        {"DATA": "554 looks like spam"},
        dict.fromkeys(("ann@example.com", "bo@example.com", "cy@example.com"), "550 no such user"),
    ],
)
def test_a_refusal_for_good_is_not_tried_again(settings: Settings, refuse: Any) -> None:
    with mail_server(Postmaster(refuse)) as port, pytest.raises(Fail, match=r"refused .*: 55"):
        run(plain(settings, port))


@pytest.mark.parametrize(
    "refuse",
    [
        {"MAIL": "450 not now"},
        {"DATA": "451 disk full"},
        {
            "ann@example.com": "550 no such user",
            "bo@example.com": "450 greylisted",
            "cy@example.com": "550 no such user",
        },
    ],
)
def test_a_refusal_for_now_is_tried_again(settings: Settings, refuse: Any) -> None:
    with mail_server(Postmaster(refuse)) as port, pytest.raises(OSError, match="45"):
        run(plain(settings, port))


def test_one_bad_address_does_not_keep_the_others_from_their_mail(settings: Settings) -> None:
    postmaster = Postmaster({"bo@example.com": "550 no such user"})
    with mail_server(postmaster) as port:
        result = run(plain(settings, port))
    assert result["recipients"] == ["ann@example.com", "cy@example.com"]
    assert result["refused"] == {"bo@example.com": "550 no such user"}
    assert postmaster.envelopes[0].rcpt_tos == ["ann@example.com", "cy@example.com"]


def test_no_server_is_tried_again(settings: Settings) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # not listening
        with pytest.raises(ConnectionRefusedError):
            run(plain(settings, reserved.getsockname()[1]))


def test_a_server_that_says_nothing_is_left(settings: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ours = replace(plain(settings, silent.getsockname()[1]), smtp_timeout=0.2)
        with pytest.raises(OSError, match="timed out"):
            run(ours)


@pytest.mark.parametrize("stop_at", [1, 3, 5, 7])
async def test_a_cancel_before_the_message_keeps_it_from_going_out(
    settings: Settings, stop_at: int
) -> None:
    scope, calls = trio.CancelScope(), iter(range(1, 100))

    def checkpoint() -> None:
        if next(calls) == stop_at:
            trio.from_thread.run_sync(scope.cancel)
        trio.from_thread.check_cancelled()

    postmaster = Postmaster()
    with mail_server(postmaster) as port, scope:
        ctx = FakeCtx(on_checkpoint=checkpoint)
        work: Callable[[], Any] = lambda: run(plain(settings, port), ctx)  # noqa: E731
        await trio.to_thread.run_sync(work)
    assert scope.cancelled_caught
    assert postmaster.envelopes == []
