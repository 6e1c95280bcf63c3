"""What the README shows is what happens."""

import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from trio_jobs.config import PREFIX, Settings
from trio_jobs.http import problems
from trio_jobs.http.routes import ROUTES
from trio_jobs.job import TRANSITIONS
from trio_jobs.metrics import FAMILIES

from .processes import ENVIRONMENT, running, until

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _after(marker: str) -> str:
    """The block behind `<!-- marker -->`, up to the next empty line."""
    return README.partition(f"<!-- {marker} -->\n")[2].strip("\n").partition("\n\n")[0]


def states() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, moves in TRANSITIONS.items():
        targets: dict[str, list[str]] = {}
        for event, target in moves.items():
            targets.setdefault(target, []).append(event.replace("_", " "))
        lines += [f"    {state} --> {to}: {', '.join(why)}" for to, why in targets.items()]
    return "\n".join([*lines, "```"])


def settings() -> str:
    lines = ["| setting | default | |", "|---|---|---|"]
    for spec in fields(Settings):
        default = spec.default
        if isinstance(default, float):
            default = f"{default:g}"
        elif isinstance(default, bool):
            default = "yes" if default else "no"
        elif isinstance(default, int):
            default = f"{default:,}"
        elif isinstance(default, tuple):
            default = ",".join(default)
        shown = f"`{default}`" if default not in (None, "") else ""
        lines.append(f"| `{spec.name}` | {shown} | {spec.metadata['help']} |")
    return "\n".join(lines)


def metrics() -> str:
    lines = ["| metric | labels | |", "|---|---|---|"]
    for family in FAMILIES:
        labels = f"`{' '.join(family.labels)}`" if family.labels else ""
        lines.append(f"| `{family.name}` | {labels} | {family.about} ({family.kind}) |")
    return "\n".join(lines)


@pytest.mark.parametrize("block", [states, settings, metrics])
def test_what_is_made_from_the_code_is_up_to_date(block):
    assert _after(block.__name__) == block()


def test_every_command_endpoint_and_setting_is_documented():
    from trio_jobs.cli import _COMMANDS

    for command in _COMMANDS:
        assert f"trio-jobs {command}" in README
    assert f"{PREFIX}JOB_TIMEOUT" in README
    assert all(kind.about for kind in problems.BY_SLUG.values())
    calls = re.findall(r"^\| (.*?) \|", README.partition("\n## API\n")[2], re.MULTILINE)
    said = " ".join(calls).replace("{q}", "{name}")
    for route in ROUTES:
        words = [word for word in route.path.split("/") if word]
        if words[:1] != ["static"]:  # it belongs to the pages
            assert all(f"/{word}" in said for word in words), route.path


def _shape(value):
    """Names and kinds of a JSON value; the values themselves differ from run to run."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return type(value).__name__


def _shell(command: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=directory,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_curl_lines_get_the_answers_that_are_shown(tmp_path):
    curls = [
        block
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        if block.startswith("curl")
    ]
    post, get, calling_back, upload, wrong = curls
    shown = {
        name: json.loads(_after(f"answer: {name}").strip("`").removeprefix("json"))
        for name in ("post", "get", "problem")
    }
    (tmp_path / "README.md").write_text(README)
    with running(tmp_path) as service:

        def curl(command: str):
            return json.loads(
                _shell("curl() { command curl -sS --noproxy '*' \"$@\"; }\n"
                       + command.replace("http://localhost:8080", service.url), tmp_path)
            )  # fmt: skip

        posted = curl(post)
        assert _shape(posted) == _shape(shown["post"])
        service.wait_for(posted["id"], "done")
        got = curl(get.replace(shown["get"]["id"], posted["id"]))
        assert _shape(got) == _shape(shown["get"])
        assert got["input"] == shown["get"]["input"]
        assert len(list((tmp_path / "trio-jobs-data" / "outbox" / "new").iterdir())) == 1
        url = "http://10.0.0.1/hook"  # where webhooks do not go
        called = curl(calling_back.replace("https://example.com/hook", url))
        assert called["callback_url"] == url
        counted = service.wait_for(curl(upload)["id"], "done")
        assert counted["output"]["bytes"] == len(README.encode())
        problem = curl(wrong)
        assert problem | {"request_id": ""} == shown["problem"] | {"request_id": ""}


@pytest.mark.slow
def test_the_command_lines_work_as_shown(tmp_path):
    (block,) = (
        block
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        if "trio-jobs enqueue" in block
    )
    with running(tmp_path) as service:
        id_ = service.post("noop")
        until(lambda: service.get(id_)["status"] == "done")
        known = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", id_, block)
        output = _shell(f"export TRIO_JOBS_SERVER={service.url}\n{known}", tmp_path)
        assert id_ in output
        assert '"slept": 0.1' in output
