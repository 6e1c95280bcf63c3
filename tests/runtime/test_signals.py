"""Ctrl-C and SIGTERM, as the process counts them."""

import signal
import threading

import pytest
import trio

from trio_jobs.runtime.signals import Signals


class Interrupted(Signals):
    """The second signal comes while the first one is handled."""

    def end_after(self, seconds: float, code: int) -> None:
        signal.raise_signal(signal.SIGINT)
        super().end_after(seconds, code)


async def test_two_signals_at_once_are_two() -> None:
    signals = Interrupted(60, hurry=trio.Event())
    with signals.handled():
        signal.raise_signal(signal.SIGTERM)
        await signals.stop.wait()
        await signals.hurry.wait()


async def test_a_signal_counts_even_if_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    signals = Signals(60, hurry=trio.Event())
    with signals.handled():
        monkeypatch.setattr(threading.Thread, "start", refuse)
        signal.raise_signal(signal.SIGTERM)
        await signals.stop.wait()
