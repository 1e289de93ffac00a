"""The first Ctrl-C ends a run in good order, the second one at once."""

import os
import signal

import pytest

from selfsup.training.loop import _signals


def test_a_second_ctrl_c_ends_at_once(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with _signals() as received:
        os.kill(os.getpid(), signal.SIGINT)
        now = 100.5  # a launcher passes the same Ctrl-C on
        os.kill(os.getpid(), signal.SIGINT)
        now = 101.4
        os.kill(os.getpid(), signal.SIGTERM)  # of a launcher that ends
        assert received == [signal.SIGINT, signal.SIGINT, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
