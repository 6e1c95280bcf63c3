"""Secrets, by their names, their forms and their values, in the dialects in which they turn up."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.redaction import DEFAULT_WORDS, MASK, Redactor
from trio_jobs.texts import shortened

# The § is the secret.
SHOWN = """
password=§
PASSWORD = § and more
smtp_password: §
{"password": "§", "to": "me"}
{"password":"§\\"§","to":"me"}
{'db_passwd': '§', 'to': 'me'}
said {\\"password\\": \\"§\\\\\\"§\\", \\"n\\": 1}
{"credentials": {"user": "§", "key": ["§", "}"]}, "n": 1}
token=>§
client_secret:=§
Authorization: Bearer §
Authorization: Basic §§==
authorization=Bearer §
Authorization: Digest username=§, response=§
(b'Authorization', b'Bearer §'), (b'Accept', b'*/*')
Set-Cookie: sid=§; Path=/
Cookie: a=§; b=§
X-Api-Key: §
x-api-key=§&limit=5
apiKey: §
['mysql', '--password', '§', '--table', 't']
https://example.org/hook?access_token=§&id=5
https://me:§@example.org/, by me@example.org
postgresql://me:§@§@db/jobs
GET / HTTP/1.1 with Bearer §§§§§§§§§§
tj_§§§§§§§§§§§§ is no good
whsec_§§§§§§§§§§§§§§§§
-----BEGIN RSA PRIVATE KEY-----\\n§§§§\\n-----END RSA PRIVATE KEY----- and more
password="§ and it is cut her
password='§
""".strip().splitlines()

HARMLESS = """
the password is wrong
no token
a bearer of news
see https://example.org/a:b and me@example.org
Unexpected token
job 01a20c60-4e0f-7002-baaa-e48ca591f707 is stuck
{"to": "me", "n": 1}
""".strip().splitlines()


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(DEFAULT_WORDS, ["hunter2", "whsec_one whsec_two", 'a"b\\ü', "abc"])


@pytest.mark.parametrize("line", SHOWN)
def test_a_secret_is_not_shown_whatever_dialect_it_is_told_in(
    redactor: Redactor, line: str
) -> None:
    secret = "zQ7" * 4
    shown = redactor.text(line.replace("\\n", "\n").replace("§", secret))
    assert secret not in shown
    assert MASK in shown
    assert redactor.text(shown) == shown


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_no_secret_comes_back_as_it_is(redactor: Redactor, line: str) -> None:
    assert redactor.text(line) is line


def test_what_stands_around_a_secret_stays(redactor: Redactor) -> None:
    hidden = redactor.text('{"a": 1, "password": "x", "b": [2]} ?token=x&b=2 password=x, b=2')
    assert hidden == (
        f'{{"a": 1, "password": "{MASK}", "b": [2]}} ?token={MASK}&b=2 password={MASK}, b=2'
    )


@pytest.mark.parametrize(
    "text",
    [
        "on hunter2 we", "whsec_one", "whsec_two,", "a\"b\\ü", repr("a\"b\\ü"),
        json.dumps("a\"b\\ü"), "https://h/?x=a%22b%5C%C3%BC",
    ],
)  # fmt: skip
def test_the_value_of_a_setting_is_hidden_wherever_it_is(redactor: Redactor, text: str) -> None:
    assert MASK in redactor.text(text)
    assert MASK in redactor.json({"note": [text]})["note"][0]


def test_a_value_that_is_too_short_to_be_told_from_words_is_not_looked_for(
    redactor: Redactor,
) -> None:
    assert redactor.text("the abc of it") == "the abc of it"


def test_members_are_hidden_by_their_names_at_any_depth(redactor: Redactor) -> None:
    value = {
        "apiKey": 5,
        "Set-Cookie": None,
        "list": [{"dbPassword": {"deep": [1]}}, "token=abc", 7, None, True],
        "text": "fine",
    }
    assert redactor.json(value) == {
        "apiKey": MASK,
        "Set-Cookie": MASK,
        "list": [{"dbPassword": MASK}, f"token={MASK}", 7, None, True],
        "text": "fine",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"p\\u0061ssword":"x","n":1.50}', f'{{"password":"{MASK}","n":1.5}}'),
        ('["token", {"token": 1}]', f'["token",{{"token":"{MASK}"}}]'),
        ('{"token": ', f'"{MASK}"'),
        ('{"a":' * 100_000 + '"token"', f'"{MASK}"'),
        ('{"n": 1.50}', '{"n": 1.50}'),
    ],
)
def test_json_stays_json_and_what_is_none_is_not_shown(
    redactor: Redactor, text: str, shown: str
) -> None:
    assert redactor.json_text(text) == shown


def test_the_operator_says_what_is_a_secret() -> None:
    assert Redactor(["pin", "_", " "]).text("pin=1 password=2") == f"pin={MASK} password=2"
    assert Redactor([]).text("password=2 tj_0123456789") == f"password=2 {MASK}"
    assert Redactor(["a.b", "c(d"]).text("a.b=1 axb=1 c(d=1") == f"a.b={MASK} axb=1 c(d={MASK}"


def test_letters_that_change_their_length_move_nothing(redactor: Redactor) -> None:
    assert redactor.text("İİ Password=geheim ende") == f"İİ Password={MASK} ende"


@given(st.text(alphabet="tokenb='\"\\:,{}[] \n[redacted]X&;", max_size=200))
def test_twice_is_as_good_as_once_and_nothing_is_added(text: str) -> None:
    redactor = Redactor(["token"])
    once = redactor.text(text)
    assert redactor.text(once) == once


NAMES = st.text(max_size=8)


@given(
    st.recursive(
        st.none() | NAMES,
        lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
        max_leaves=20,
    )
)
def test_json_keeps_its_shape_where_nothing_is_hidden(value: Any) -> None:
    assert Redactor(DEFAULT_WORDS).json(value) == value


@pytest.mark.parametrize(
    "text",
    [
        "token" * 200_000, 'password="' * 100_000, "token={" * 150_000, 'token=\\"' * 100_000,
        "://a:" * 200_000, "token=" + ",a" * 500_000, 'token="' + "\\" * 1_000_000,
        "-----begin private key-----" * 40_000, "x" * 1_000_000 + "password=a",
        "token" + " " * 1_000_000, "bearer " * 150_000, "token.=" * 150_000,
    ],
)  # fmt: skip
def test_a_hostile_megabyte_takes_no_longer_than_a_harmless_one(
    redactor: Redactor, text: str
) -> None:
    start = time.perf_counter()
    redactor.text(text)
    assert time.perf_counter() - start < 2  # all take less than 0.15 s; quadratic would be hours


def test_half_a_secret_is_not_left_over_where_a_text_is_cut(redactor: Redactor) -> None:
    text = "x" * 45 + "hunter2" + "y" * 48
    for limit in range(20, 100):
        shown = shortened(text, limit, redactor.text)
        assert "hunt" not in shown
        assert "ter2" not in shown
    long = shortened("<" + "z" * 10_000_000 + "password=\ud800>", 100, redactor.text)
    assert len(long) < 200
    assert long.startswith("<z")
    assert long.endswith(f"password={MASK}")
    assert "9,99" in long
