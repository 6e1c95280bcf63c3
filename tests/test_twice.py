"""A request that comes twice makes one job: over real sockets, against a real service."""

import contextlib
import json
import random
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from .processes import Service, running

PAIRS = 1_000
TOGETHER = 20
HANG_UPS = 200

pytestmark = pytest.mark.slow


async def both(http: httpx.AsyncClient, key: str, body: Any) -> list[httpx.Response]:
    """The same request twice, at the same time."""
    replies: list[httpx.Response] = []

    async def post() -> None:
        replies.append(await http.post("/jobs", json=body, headers={"Idempotency-Key": key}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(post)
        nursery.start_soon(post)
    return replies


def jobs_in(service: Service) -> int:
    """How many there are at all, a page at a time."""
    count, cursor = 0, {}
    while True:
        page = service.http.get("/jobs", params={"limit": 500, **cursor}).json()
        count += len(page["jobs"])
        if page["next"] is None:
            return count
        cursor = {"cursor": page["next"]}


async def test_two_posts_with_one_key_in_parallel_make_one_job_a_thousand_times(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "--no-worker") as service:
        async with httpx.AsyncClient(
            base_url=service.url,
            timeout=20,
            trust_env=False,
            limits=httpx.Limits(max_connections=2 * TOGETHER),
        ) as http:

            async def pairs(first: int) -> None:
                for number in range(first, PAIRS, TOGETHER):
                    body = {"type": "noop", "input": {"n": number}}
                    one, other = await both(http, f"pair-{number}", body)
                    assert one.status_code == other.status_code == 201
                    assert one.json()["id"] == other.json()["id"]
                    replayed = [reply.headers.get("Idempotent-Replayed") for reply in (one, other)]
                    assert sorted(map(str, replayed)) == ["None", "true"]

            async with trio.open_nursery() as nursery:
                for first in range(TOGETHER):
                    nursery.start_soon(pairs, first)
        assert jobs_in(service) == PAIRS


def test_a_client_that_left_in_mid_commit_finds_its_answer_by_its_key(tmp_path: Path) -> None:
    dice = random.Random(1)
    with running(tmp_path, "--no-worker") as service:
        address = urlsplit(service.url)
        for number in range(HANG_UPS):
            body = json.dumps({"type": "noop", "input": {"n": number}}).encode()
            with socket.create_connection((address.hostname, address.port)) as connection:
                connection.sendall(
                    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Idempotency-Key: left-%d\r\nContent-Length: %d\r\n\r\n%b"
                    % (number, len(body), body)
                )
                connection.settimeout(dice.choice([0.0001, 0.0005, 0.001]))
                with contextlib.suppress(TimeoutError):
                    connection.recv(1)
        ids = []
        for number in range(HANG_UPS):
            reply = service.http.post(
                "/jobs",
                content=json.dumps({"type": "noop", "input": {"n": number}}).encode(),
                headers={
                    "Idempotency-Key": f"left-{number}",
                    "Content-Type": "application/json",
                },
            )
            assert reply.status_code == 201
            assert reply.json()["input"] == {"n": number}
            ids.append(reply.json()["id"])
        assert len(set(ids)) == HANG_UPS
        assert jobs_in(service) == HANG_UPS
