"""The life of a job, generated from its table."""

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.backoff import DAY, Backoff
from trio_jobs.job import (
    TRANSITIONS,
    Error,
    Event,
    Failed,
    Outcome,
    Reason,
    Snoozed,
    State,
    Stopped,
    Succeeded,
    Verdict,
    judge,
    states_with_status,
)

STEADY = Backoff(jitter=0.0)
NOW = 1_764_000_000.0
BOOM = Error("ValueError", "boom", "Traceback …")
LEGAL = {(state, event) for state, events in TRANSITIONS.items() for event in events}


@dataclass(frozen=True)
class Held:
    """A claimed job, as `judge` sees it."""

    attempt: int
    max_attempts: int


# ── the table ─────────────────────────────────────────────────────────────────────────────────


def test_every_state_has_a_row_so_that_no_job_is_outside_the_law() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_event_is_good_for_something() -> None:
    assert {event for _, event in LEGAL} == set(Event)


@pytest.mark.parametrize(("state", "event"), sorted(itertools.product(State, Event)))
def test_a_job_moves_only_when_the_table_says_so(state: State, event: Event) -> None:
    allowed = {
        Event.PROMOTE: {State.SCHEDULED},
        Event.READY: {State.WAITING},
        Event.CLAIM: {State.QUEUED},
        Event.POSTPONE: {State.QUEUED},
        Event.CANCEL: {State.SCHEDULED, State.QUEUED, State.RUNNING, State.WAITING},
        Event.RETRY: {State.DONE, State.FAILED, State.CANCELLED},
    }.get(event, {State.RUNNING})
    assert (event in TRANSITIONS[state]) == (state in allowed)


@pytest.mark.parametrize(("state", "event"), sorted(LEGAL))
def test_every_move_goes_somewhere_else(state: State, event: Event) -> None:
    assert TRANSITIONS[state][event] is not state


def test_only_a_person_moves_a_job_out_of_a_final_state() -> None:
    final = {state for state in State if state.final}
    assert final == {State.DONE, State.FAILED, State.CANCELLED}
    for state in final:
        assert TRANSITIONS[state] == {Event.RETRY: State.QUEUED}


@pytest.mark.parametrize("state", State)
def test_no_job_can_be_trapped_short_of_a_final_state(state: State) -> None:
    seen, todo = set(), [state]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(TRANSITIONS[here].values())
    assert State.DONE in seen


def test_only_a_claim_makes_a_job_run() -> None:
    into_running = {(s, e) for s, e in LEGAL if TRANSITIONS[s][e] is State.RUNNING}
    assert into_running == {(State.QUEUED, Event.CLAIM)}


def test_a_client_of_the_seed_sees_its_four_words_and_stops_polling_at_the_end() -> None:
    assert {state.status for state in State} == {"pending", "running", "done", "failed"}
    for state in State:
        assert state.final == (state.status in ("done", "failed"))


def test_each_state_is_found_under_exactly_its_status() -> None:
    words = {state.status for state in State}
    found = [state for word in sorted(words) for state in states_with_status(word)]
    assert sorted(found) == sorted(State)
    assert states_with_status("queued") == []


# ── the judge ─────────────────────────────────────────────────────────────────────────────────


def verdict(outcome: Outcome, attempt: int = 1, max_attempts: int = 5) -> Verdict:
    found = judge(Held(attempt, max_attempts), outcome, NOW, STEADY)
    assert found is not None
    return found


def test_a_result_ends_the_job_even_on_its_last_attempt() -> None:
    done = verdict(Succeeded(b"1"), attempt=5)
    assert (done.state, done.result, done.content_type) == (State.DONE, b"1", "application/json")
    assert done.reason is done.error is done.run_at is None


def test_no_result_has_no_content_type() -> None:
    assert verdict(Succeeded()).content_type is None


def test_an_empty_result_is_a_result() -> None:
    done = verdict(Succeeded(b"", "application/octet-stream"))
    assert (done.result, done.content_type) == (b"", "application/octet-stream")


def test_a_failed_attempt_comes_back_after_its_backoff() -> None:
    for attempt, wait in ((1, 16), (2, 31), (3, 96), (4, 271)):
        again = verdict(Failed(BOOM), attempt=attempt)
        assert (again.state, again.run_at) == (State.SCHEDULED, NOW + wait)
        assert (again.charged, again.reason, again.error) == (True, Reason.RETRY, BOOM)


def test_the_last_failed_attempt_fails_the_job_with_no_reason_but_its_error() -> None:
    for attempt in (5, 6):
        failed = verdict(Failed(BOOM), attempt=attempt)
        assert (failed.state, failed.reason, failed.error) == (State.FAILED, None, BOOM)
        assert failed.run_at is None


def test_a_handler_that_names_its_time_is_obeyed_unless_no_attempt_is_left() -> None:
    assert verdict(Failed(BOOM, retry_after=3600)).run_at == NOW + 3600
    assert verdict(Failed(BOOM, retry_after=0)).run_at == NOW
    assert verdict(Failed(BOOM, retry_after=3600), attempt=5).state is State.FAILED


def test_a_permanent_failure_wastes_no_further_attempt() -> None:
    failed = verdict(Failed(BOOM, permanent=True, retry_after=5))
    assert (failed.state, failed.reason) == (State.FAILED, Reason.PERMANENT)


def test_a_timeout_is_retried_and_its_reason_survives_to_the_end() -> None:
    again = verdict(Stopped(Reason.TIMEOUT))
    assert (again.state, again.reason, again.run_at) == (
        State.SCHEDULED,
        Reason.TIMEOUT,
        NOW + 16,
    )
    last = verdict(Stopped(Reason.TIMEOUT), attempt=5)
    assert (last.state, last.reason) == (State.FAILED, Reason.TIMEOUT)
    assert last.error is not None
    assert last.error.type == "Timeout"


def test_a_timeout_keeps_the_error_that_came_with_it() -> None:
    assert verdict(Stopped(Reason.TIMEOUT, BOOM)).error == BOOM


def test_a_shutdown_hands_the_job_back_uncharged_even_on_its_last_attempt() -> None:
    released = verdict(Stopped(Reason.SHUTDOWN, BOOM), attempt=5)
    assert (released.state, released.charged) == (State.QUEUED, False)
    assert released.error is None


def test_a_snooze_is_uncharged_even_on_the_last_attempt() -> None:
    snoozed = verdict(Snoozed(60), attempt=5)
    assert (snoozed.state, snoozed.charged, snoozed.run_at) == (State.SCHEDULED, False, NOW + 60)
    assert snoozed.reason is Reason.SNOOZED


def test_whoever_has_lost_the_lease_has_nothing_more_to_say() -> None:
    assert judge(Held(1, 5), Stopped(Reason.LEASE_LOST), NOW, STEADY) is None


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.DEADLINE])
def test_a_cancelled_job_is_never_retried(reason: Reason) -> None:
    cancelled = verdict(Stopped(reason, BOOM))
    assert (cancelled.state, cancelled.reason) == (State.CANCELLED, reason)


seconds = st.floats(0, 1e6)
outcomes = st.one_of(
    st.builds(Succeeded, st.none() | st.binary(max_size=8)),
    st.builds(Failed, st.just(BOOM), st.booleans(), st.none() | seconds),
    st.builds(Snoozed, seconds),
    st.builds(
        Stopped,
        st.sampled_from(
            [
                Reason.TIMEOUT,
                Reason.CANCELLED,
                Reason.SHUTDOWN,
                Reason.LEASE_LOST,
                Reason.DEADLINE,
            ]
        ),
        st.none() | st.just(BOOM),
    ),
)


@given(outcomes, st.integers(1, 1_000), st.integers(1, 1_000), st.floats(0, 4e9))
def test_every_verdict_is_a_legal_and_complete_move(
    outcome: Outcome, attempt: int, max_attempts: int, now: float
) -> None:
    found = judge(Held(attempt, max_attempts), outcome, now, Backoff())
    if found is None:
        assert isinstance(outcome, Stopped)
        return
    assert found.event in TRANSITIONS[State.RUNNING]
    assert found.event not in (Event.RESCUE, Event.QUARANTINE)  # those are the store's
    assert (found.run_at is not None) == (found.state is State.SCHEDULED)
    assert found.run_at is None or (math.isfinite(found.run_at) and found.run_at >= now)
    assert (found.state is State.DONE) == isinstance(outcome, Succeeded)
    assert (found.content_type is None) == (found.result is None)
    if found.state is State.FAILED:
        assert found.error is not None
    if found.event is Event.RETRY_LATER:
        assert attempt < max_attempts, "a job may not have more attempts than it was given"
    assert found.charged == (found.event not in (Event.SNOOZE, Event.RELEASE))


@given(st.integers(1, 1_000_000))
def test_no_wait_is_longer_than_a_day_and_a_bit(attempt: int) -> None:
    again = judge(Held(attempt, 2_000_000), Failed(BOOM), NOW, Backoff())
    assert again is not None
    assert again.run_at is not None
    assert NOW < again.run_at <= NOW + DAY
