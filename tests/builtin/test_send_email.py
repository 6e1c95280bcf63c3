"""`send_email`: what may be mailed, and the outbox."""

import base64
import email
import mailbox
import os
import stat
from dataclasses import replace
from email import policy
from email.headerregistry import Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trio_jobs.builtin import mail_message, send_email
from trio_jobs.builtin.mail_message import Mail
from trio_jobs.builtin.outbox import list_outbox
from trio_jobs.config import Settings
from trio_jobs.errors import ConfigError, InvalidInput

from .conftest import JOB_ID, FakeCtx, decode, on_the_wire

OTHER_ID = "019a0000-0000-7000-8000-000000000002"


def run(settings: Settings, payload: dict[str, Any], job_id: str = JOB_ID) -> Any:
    handler = send_email.handler(settings)
    return on_the_wire(handler.run(decode(handler, payload), FakeCtx(job_id)))


def only_mail(settings: Settings) -> Any:
    maildir = mailbox.Maildir(str(Path(settings.data_dir) / "outbox"), create=False)
    [key] = maildir.keys()
    return email.message_from_bytes(maildir.get_bytes(key), policy=policy.default)


def test_the_first_curl_of_a_stranger_lands_in_the_outbox(settings: Settings) -> None:
    result = run(settings, {"to": "test@example.com", "subject": "Hello"})
    mail = only_mail(settings)
    assert (mail["To"], mail["Subject"]) == ("test@example.com", "Hello")
    assert mail["From"] == "trio-jobs@localhost"
    assert mail["Message-ID"] == result["message_id"] == f"<{JOB_ID}@localhost>"
    assert mail["Date"].datetime.tzinfo is not None
    assert mail.get_content().strip() == ""
    size = (Path(settings.data_dir) / "outbox" / "new" / JOB_ID).stat().st_size
    assert result == {
        "message_id": f"<{JOB_ID}@localhost>",
        "transport": "outbox",
        "recipients": ["test@example.com"],
        "size": size,
    }


def test_everything_a_mail_can_have_arrives(settings: Settings) -> None:
    content = os.urandom(3_000)
    result = run(
        settings,
        {
            "to": ["Ann Lee <ann@example.com>", '"Müller, Bo" <bo@example.com>'],
            "cc": "cy@example.com",
            "bcc": ["di@example.com", "ann@example.com"],
            "reply_to": "desk@example.com",
            "subject": "Grüße" * 40,
            "text": "plain\nfrom here",
            "html": "<b>rich</b>",
            "headers": {
                "X-Tag": "a",
                "List-Unsubscribe": "<https://example.com/" + "u" * 200 + ">",
            },
            "attachments": [
                {
                    "filename": "Übersicht.pdf",
                    "content_type": "application/pdf",
                    "content": base64.b64encode(content).decode(),
                }
            ],
        },
    )
    mail = only_mail(settings)
    assert [str(a) for a in mail["To"].addresses] == [
        "Ann Lee <ann@example.com>",
        '"Müller, Bo" <bo@example.com>',
    ]
    assert mail["Subject"] == "Grüße" * 40
    assert (mail["Cc"], mail["Reply-To"], mail["X-Tag"]) == (
        "cy@example.com",
        "desk@example.com",
        "a",
    )
    assert mail["List-Unsubscribe"] == "<https://example.com/" + "u" * 200 + ">"
    assert mail.get_body(("plain",)).get_content() == "plain\nfrom here\n"
    assert mail.get_body(("html",)).get_content() == "<b>rich</b>\n"
    [attachment] = mail.iter_attachments()
    assert attachment.get_filename() == "Übersicht.pdf"
    assert attachment.get_content() == content
    assert result["recipients"] == [f"{who}@example.com" for who in ("ann", "bo", "cy", "di")]


def test_bcc_is_told_to_nobody(settings: Settings) -> None:
    run(settings, {"bcc": "secret@example.com", "subject": "s"})
    raw = (Path(settings.data_dir) / "outbox" / "new" / JOB_ID).read_bytes()
    assert b"secret@example.com" not in raw
    assert b"To: undisclosed-recipients:;\n" in raw


def test_the_message_is_fit_for_any_mail_server() -> None:
    mail = Mail(to="a@example.com", text="ü" * 5_000 + "\n.\n\r" + "x" * 5_000)
    raw = mail_message.compose(mail, Address("", "s", "example.com"), JOB_ID, _DATE)
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_job_that_runs_twice_leaves_one_mail(settings: Settings) -> None:
    run(settings, {"to": "a@example.com", "subject": "first"})
    run(settings, {"to": "a@example.com", "subject": "second"})
    assert only_mail(settings)["Subject"] == "second"
    outbox = Path(settings.data_dir) / "outbox"
    (outbox / "new" / JOB_ID).rename(outbox / "cur" / f"{JOB_ID}:2,S")  # somebody read it
    run(settings, {"to": "a@example.com", "subject": "third"})
    assert only_mail(settings)["Subject"] == "third"


def test_a_mail_is_for_the_operators_eyes_only(settings: Settings) -> None:
    run(settings, {"to": "a@example.com"})
    new = Path(settings.data_dir) / "outbox" / "new"
    assert stat.S_IMODE((new / JOB_ID).stat().st_mode) == 0o600
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    assert list((new.parent / "tmp").iterdir()) == []


def test_the_outbox_lists_newest_first(settings: Settings) -> None:
    new = Path(settings.data_dir) / "outbox" / "new"
    for number, job_id in enumerate([JOB_ID, OTHER_ID], 1):
        run(settings, {"to": "Bö <b@example.com>", "subject": f"Grüße {number}"}, job_id)
        os.utime(new / job_id, (number, number))
    listed = list_outbox(settings.data_dir, 10)
    assert [mail.subject for mail in listed] == ["Grüße 2", "Grüße 1"]
    assert listed[0].to == ["Bö <b@example.com>"]
    assert listed[0].message_id == f"<{OTHER_ID}@localhost>"
    assert listed[0].file == f"outbox/new/{OTHER_ID}"
    assert listed[0].size == (new / OTHER_ID).stat().st_size
    assert len(list_outbox(settings.data_dir, 1)) == 1


def test_an_outbox_that_is_not_there_or_odd_can_be_listed(settings: Settings) -> None:
    assert list_outbox(settings.data_dir) == []
    run(settings, {"to": "a@example.com"})
    new = Path(settings.data_dir) / "outbox" / "new"
    (new / "link").symlink_to("/etc/passwd")
    (new / "junk").write_bytes(bytes(range(256)) * 500)
    (new / "odd").write_bytes(b"To: =?x?q?\r\nSubject: =?utf-8?b?!!!?=\r\n\r\n")
    listed = {mail.file: mail for mail in list_outbox(settings.data_dir)}
    assert listed[f"outbox/new/{JOB_ID}"].to == ["a@example.com"]
    assert "outbox/new/link" not in listed


BREAKS = ["\r\n", "\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("odd", BREAKS)
@pytest.mark.parametrize(
    ("place", "pointer"),
    [
        ({"to": "a@example.com{}Bcc: b@example.com"}, "/to"),
        ({"to": ["ok@example.com", "A{} <a@example.com>"]}, "/to/1"),
        ({"cc": "a@example.com{}"}, "/cc"),
        ({"bcc": ["a@exam{}ple.com"]}, "/bcc/0"),
        ({"reply_to": "{}a@example.com"}, "/reply_to"),
        ({"subject": "Hi{}Bcc: b@example.com"}, "/subject"),
        ({"headers": {"X-A": "a{}Bcc: b@example.com"}}, "/headers/X-A"),
        (
            {"attachments": [{"filename": "a{}", "content": ""}]},
            "/attachments/0/filename",
        ),
        (
            {"attachments": [{"filename": "a", "content": "", "content_type": "text/plain{}"}]},
            "/attachments/0/content_type",
        ),
    ],
)
def test_no_line_break_reaches_a_header(
    settings: Settings, odd: str, place: Any, pointer: str
) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(member) for name, member in value.items()}
        if isinstance(value, list):
            return [fill(member) for member in value]
        return value.replace("{}", odd)

    with pytest.raises(InvalidInput) as refused:
        decode(send_email.handler(settings), {"to": "a@example.com", **fill(place)})
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "name",
    [
        *("From", "to", "BCC", "Sender", "Return-Path", "Message-ID", "Date", "Subject"),
        *("Content-Type", "MIME-Version", "DKIM-Signature", "Received", "Reply-To"),
        *("X-A\r\nBcc", "X-A: b\nBcc", "X A", "X-A:", "X-", "", "X-Ü", "X-" + "a" * 99),
    ],
)
def test_headers_beside_the_allowed_ones_are_refused(settings: Settings, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be set") as refused:
        decode(send_email.handler(settings), {"to": "a@example.com", "headers": {name: "v"}})
    assert refused.value.pointer == f"/headers/{name}"


@pytest.mark.parametrize(
    "address",
    [
        *("", "a", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a..b@c", ".a@b", "a.@b", "a@-b", "a@b-"),
        *("a@b..c", "a@[127.0.0.1]", "a,b@c", "a@b,c@d", "<a@b", "a@b>", "<a@b> x", "A <B <a@b>>"),
        *("ü@example.com", "a@bücher.example", "a" * 65 + "@b", "a@" + "b" * 64, "a@b" * 400),
        *('"a b"@c', "a(x)@b", "a@b;c@d", "a@b\t", "a\\@b", "A: a@b;"),
    ],
)
def test_only_plain_addresses_are_taken(settings: Settings, address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(send_email.handler(settings), {"to": address})
    assert refused.value.pointer == "/to"


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({"subject": "nobody"}, "/to"),
        ({"to": []}, "/to"),
        ({"to": [f"a{n}@example.com" for n in range(51)]}, "/to"),
        ({"to": "a@example.com", "text": "a\0"}, "/text"),
        ({"to": "a@example.com", "html": "a\0"}, "/html"),
        ({"to": "a@example.com", "subject": "s" * 901}, "/subject"),
        ({"to": "n" * 101 + " <a@example.com>"}, "/to"),
        ({"to": "a@example.com", "reply_to": ["b@example.com"] * 51}, "/reply_to"),
        ({"to": "a@example.com", "body": "misspelt"}, ""),
        ({"to": "a@example.com", "headers": {f"X-{n}": "" for n in range(51)}}, "/headers"),
        (
            {
                "to": "a@example.com",
                "attachments": [{"filename": "a", "content": "", "content_type": "message/rfc822"}],
            },
            "/attachments/0/content_type",
        ),
        (
            {"to": "a@example.com", "attachments": [{"filename": "a", "content": "%"}]},
            "/attachments/0/content",
        ),
    ],
)
def test_what_cannot_be_mailed_is_told_by_its_place(
    settings: Settings, payload: Any, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(send_email.handler(settings), payload)
    assert refused.value.pointer.replace("/...", "/0") == pointer


TEXT = st.text(max_size=120)


@hypothesis_settings(deadline=None)
@given(name=TEXT, subject=TEXT, value=TEXT, filename=st.text(max_size=60), body=TEXT, header=TEXT)
def test_no_text_adds_a_header(
    name: str, subject: str, value: str, filename: str, body: str, header: str
) -> None:
    mail = Mail(
        to=f"{name} <a@example.com>",
        subject=subject,
        text=body,
        headers={"X-Tag": value, "References": value, header or "X-B": value},
        attachments=[mail_message.Attachment(filename or "a", b"x")],
    )
    sender = Address("", "s", "example.com")
    try:
        mail_message.check(mail, 50)
    except InvalidInput:
        return
    raw = mail_message.compose(mail, sender, JOB_ID, _DATE)
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert sorted(names) == sorted(
        [
            *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version"),
            *(b"Content-Type", *(name.encode() for name in mail.headers)),
        ]
    )
    assert mail_message.recipients(mail) == ["a@example.com"]


_DATE = email.utils.parsedate_to_datetime("Tue, 14 Nov 2023 22:13:20 +0000")


@pytest.mark.parametrize("sender", ["", "nobody", "a@b\r\nBcc: c@d"])
def test_a_wrong_sender_is_the_operators_to_mend(settings: Settings, sender: str) -> None:
    with pytest.raises(ConfigError, match="mail_from"):
        send_email.handler(replace(settings, mail_from=sender))


def test_the_sender_may_have_a_name(settings: Settings) -> None:
    result = run(replace(settings, mail_from="Jobs <jobs@example.org>"), {"to": "a@example.com"})
    assert only_mail(settings)["From"] == "Jobs <jobs@example.org>"
    assert result["message_id"] == f"<{JOB_ID}@example.org>"
