"""Thousands of requests made from the OpenAPI document, right and wrong ones, to a real server.

API_CASES says how many at least (2,000 unless told), API_SEED which.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..processes import ENVIRONMENT, running

CASES = int(os.environ.get("API_CASES", "2000"))
HOOKS = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)}
CONFIG = """\
[generation]
allow-x00 = false  # NUL is refused wherever it is

[phases.coverage]
unexpected-methods = ["DELETE", "GET", "PATCH", "POST", "PUT"]  # the edge answers TRACE with 501

[checks.positive_data_acceptance]
# What the job's state or version forbids; and a snooze that says nowhere for how long (415).
expected-statuses = ["2xx", "3xx", 404, 409, 412, 415]

[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 409, 412, 413, 414, 415, 422, 431]
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_server_does_what_its_document_says(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with running(tmp_path) as service:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{service.url}/openapi.json", "--url", service.url, "--checks", "all"),
            *("--exclude-checks", "ensure_resource_availability"),  # the hooks have it
            *("--max-examples", str(max(10, CASES // 15)), "--continue-on-failure"),
            *("--seed", os.environ.get("API_SEED", "1")),
            *("--exclude-path-regex", "events$", "--generation-database", "none"),
            *("--request-timeout", "10", "--warnings", "off", "--no-color"),
        ]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=ENVIRONMENT | HOOKS,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert service.http.get("/readyz").status_code == 200, service.log
        assert "Traceback" not in service.log
    [generated] = re.findall(r"([\d,]+) generated", done.stdout)
    assert int(generated.replace(",", "")) >= CASES
