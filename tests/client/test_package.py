"""The two clients are one; the package is light; where it finds its service."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trio_jobs.client import Client, NotFound, ServerFailed, SyncClient
from trio_jobs.client.errors import refusal
from trio_jobs.client.events import Parser
from trio_jobs.client.job import Job
from trio_jobs.client.place import DEFAULT_URL, Place
from trio_jobs.client.wire import Answer
from trio_jobs.config import PREFIX
from trio_jobs.errors import ConfigError

from ..processes import ENVIRONMENT

README = Path(__file__).parents[2] / "README.md"

CALLS = [name for name in vars(SyncClient) if not name.startswith("_") and name != "close"]


def test_both_clients_have_the_same_calls_with_the_same_arguments():
    assert {name for name in dir(Client) if not name.startswith("_")} == {*CALLS, "aclose"}
    for name in (*CALLS, "__init__"):
        theirs, ours = (inspect.signature(getattr(c, name)) for c in (Client, SyncClient))
        assert list(theirs.parameters) == list(ours.parameters), name
        for parameter, ours_ in ours.parameters.items():
            assert ours_.default == theirs.parameters[parameter].default
        assert getattr(SyncClient, name).__doc__ == getattr(Client, name).__doc__


def test_importing_the_client_imports_no_server():
    code = (
        "import sys, trio_jobs; assert 'httpx' not in sys.modules; trio_jobs.Client\n"
        "print(sorted({'quart', 'hypercorn', 'apsw', 'trio_jobs.service'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_the_place_is_found_in_the_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    assert Place.find(None, None) == (DEFAULT_URL, None)
    (tmp_path / "token").write_text("tj_1\n")
    monkeypatch.setenv("TRIO_JOBS_SERVER", "http://jobs:1")
    monkeypatch.setenv("TRIO_JOBS_TOKEN_FILE", str(tmp_path / "token"))
    assert Place.find(None, None) == ("http://jobs:1", "tj_1")
    assert Place.find("https://other", "tj_2") == ("https://other", "tj_2")
    for url, token in (("localhost:8080", None), ("http://", None), (None, "two\nlines")):
        with pytest.raises(ConfigError):
            Place.find(url, token)


def test_what_is_no_answer_of_ours_is_an_error_all_the_same():
    assert isinstance(refusal(Answer(404, {}, b"<html>")), NotFound)
    assert isinstance(refusal(Answer(502, {"retry-after": "soon"}, b"\xff")), ServerFailed)


def test_a_job_with_fields_of_a_newer_service_is_read():
    import msgspec

    time = "2026-11-24T07:06:07.758846Z"
    known = {"id": "1", "type": "t", "status": "pending", "state": "new", "queue": "q"}
    known |= {"attempt": 0, "max_attempts": 1, "version": 1, "more": [1]}
    data = msgspec.json.encode(known | dict.fromkeys(("created_at", "updated_at", "run_at"), time))
    assert not msgspec.json.decode(data, type=Job).ended


def test_events_are_the_same_however_they_are_cut():
    text = b': ping\n\nid: 7\nevent: job.done\ndata: {"id":"a","new":1}\n\nid: 8\n\n: ping\n\n'
    text += text.replace(b"\n", b"\r\n")
    whole = Parser().feed(text)
    assert [(event.seq, event.name, event.ended) for event in whole] == [(7, "job.done", True)] * 2
    for size in (1, 2, 3, 5):
        parser = Parser()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [event for piece in pieces for event in parser.feed(piece)] == whole


def test_the_example_of_the_readme_works(service):
    _, _, section = README.read_text(encoding="utf-8").partition("\n## From Python\n")
    example = section.partition("```python\n")[2].partition("```")[0]
    example = example.replace("http://localhost:8080", service.url)
    done = subprocess.run(
        [sys.executable, "-c", example], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"<.*@localhost>\n5000 jobs more\n\S+ cancelled\n", done.stdout)
