import os
import signal
import threading

import pytest

from easyrec.train.interrupt import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_handlers_are_restored(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.name is None
        os.kill(os.getpid(), number)
        assert stop.name == signal.Signals(number).name
    assert signal.getsignal(number) is before


def test_a_second_signal_interrupts_at_once():
    with StopRequest():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_do_not_touch_handlers():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with StopRequest() as stop:
            found.append((stop.name, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(None, before)]


def test_who_tells_of_a_lost_worker_is_not_ended_by_a_signal():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopRequest(patient=True, told=LookupError)
    try:
        with pytest.raises(LookupError), stop:
            raise LookupError
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.name == "SIGTERM"
        with pytest.raises(ValueError, match="another"), StopRequest(patient=True, told=LookupError) as other:
            raise ValueError("another")
        assert other.name is None
        assert signal.getsignal(signal.SIGTERM) == stop._handle
    finally:
        signal.signal(signal.SIGTERM, before)
