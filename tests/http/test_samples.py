"""The examples of the reference do what they say, and so does a client made from the document."""

import importlib
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from trio_jobs.http.openapi import PATH_PARAMS
from trio_jobs.http.reference import Entry, nouns
from trio_jobs.http.routes import DOCUMENT
from trio_jobs.http.work_words import SAMPLE_LEASE

from ..processes import ENVIRONMENT, Service, running

SAMPLE_ID = PATH_PARAMS["/jobs/{id}"][2]
SAMPLE_TOKEN = PATH_PARAMS["/tokens/{id}"][2]
DONE = {"retry_job", "delete_job", "get_job_result"}  # the others are about a job that waits
GENERATOR = os.environ.get("OPENAPI_PYTHON_CLIENT") or shutil.which(
    "openapi-python-client", path=ENVIRONMENT["PATH"]
)


def entries(origin: str = "http://h") -> list[Entry]:
    return [entry for noun in nouns(DOCUMENT.tree, origin, "") for entry in noun.entries]


def test_the_examples_are_written_as_one_would_write_them() -> None:
    by_id = {entry.id: entry.samples for entry in entries()}
    one, lines, upload = by_id["post_jobs"]
    assert one.curl.splitlines()[0] == "curl -X POST \\"
    assert one.curl.splitlines()[-1] == "  http://h/jobs"
    assert 'json={"type": "send_email", "input": {' in one.python
    assert lines.what == "application/x-ndjson"
    assert "type=process_file" in upload.curl
    assert by_id["get_events"][0].curl.startswith("curl -N")
    assert "httpx.stream(" in by_id["get_events"][0].python
    assert f"-H 'Lease-Token: {SAMPLE_LEASE}'" in by_id["complete_worker_job"][0].curl
    assert by_id["delete_job"][0].python.endswith("print(reply.status_code)")
    for samples in by_id.values():
        for sample in samples:
            compile(sample.python, "sample", "exec")


@pytest.mark.slow
def test_the_examples_work(tmp_path: Path) -> None:
    with running(tmp_path, "--remote-types", "elsewhere") as service:
        for entry in entries(service.url):
            if entry.path.endswith("/events"):
                continue  # endless
            for sample in entry.samples:
                script = with_an_id(service, entry, sample.curl)
                script = script.replace("curl ", "curl --fail-with-body --silent --noproxy '*' ", 1)
                done = subprocess.run(
                    ["bash", "-euc", script], env=ENVIRONMENT, capture_output=True, text=True
                )
                assert done.returncode == 0, (sample.curl, done.stdout, done.stderr)
                code = with_an_id(service, entry, sample.python)
                exec(compile(code, entry.id, "exec"), {})


def with_an_id(service: Service, entry: Entry, text: str) -> str:
    if SAMPLE_TOKEN in text:
        made = service.http.post("/tokens", json={"name": "made", "scopes": ["admin"]})
        return text.replace(SAMPLE_TOKEN, made.json()["id"])
    if SAMPLE_ID not in text:
        return text
    if entry.path.startswith("/worker/jobs/"):
        service.post("elsewhere")
        claim = {"worker": "w", "types": ["elsewhere"]}
        [job] = service.http.post("/worker/claim", json=claim).json()["jobs"]
        return text.replace(SAMPLE_ID, job["id"]).replace(SAMPLE_LEASE, job["lease_token"])
    if entry.id in DONE:
        id_ = service.post("sleep", {"seconds": 0})
        service.wait_for(id_, "done")
    else:
        id_ = service.post("noop", delay=600)
    return text.replace(SAMPLE_ID, id_)


@pytest.mark.slow
@pytest.mark.skipif(GENERATOR is None, reason="openapi-python-client is not installed")
def test_a_client_made_from_the_document_enqueues_and_reads_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(DOCUMENT.json)
    made = subprocess.run(
        [
            *(str(GENERATOR), "generate", "--path", str(document), "--meta", "none"),
            *("--output-path", str(tmp_path / "made_client")),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Endpoint will not be generated" not in made.stdout, made.stdout
    monkeypatch.syspath_prepend(tmp_path)
    with running(tmp_path) as service:
        client = importlib.import_module("made_client").Client(base_url=service.url)
        with client:
            use(client)


def use(client: Any) -> None:
    def call(tag: str, name: str) -> Any:
        return importlib.import_module(f"made_client.api.{tag}.{name}").sync

    models = importlib.import_module("made_client.models")
    body = models.JobRequest(type_="sleep", input_={"seconds": 0}, tags=["made"], wait=10)
    posted = call("jobs", "post_jobs")(client=client, body=body)
    assert isinstance(posted, models.JobView)
    assert (posted.status, posted.output) == (models.JobViewStatus.DONE, {"slept": 0.0})
    read = call("jobs", "get_job")(posted.id, client=client)
    assert (read.id, read.tags, read.version) == (posted.id, ["made"], posted.version)
    missing = call("jobs", "get_job")(uuid.uuid4(), client=client)
    assert isinstance(missing, models.Problem)
    assert missing.status == 404
