"""Signals that come at the worst moment."""

import signal

from flowrt.cli.signals import Signals


def test_a_signal_may_come_while_the_loop_looks_for_one():
    """Thousands of alarms, so that many of them meet the main thread in the middle of `wait`, whatever it holds."""
    signals = Signals()
    before = signal.signal(signal.SIGALRM, lambda *_: signals.ask_reload())
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        rung = sum(signals.happened.wait(0.00001) for _ in range(20_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signals.restore()
    assert rung
    assert signals.reload


def test_a_bell_is_rung_once_for_all_who_rang_it():
    signals = Signals()
    try:
        for _ in range(3):
            signals.happened.set()
        assert signals.happened.wait(0)
        assert not signals.happened.wait(0)
    finally:
        signals.restore()
