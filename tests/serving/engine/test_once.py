"""A property that is computed once."""

import threading

from serving.engine.once import once


class Asked:
    def __init__(self, met):
        self._lock, self.met, self.times = threading.RLock(), met, 0

    @once
    def first(self):
        self.met.wait(5.0)  # both objects are here, or have given up
        return 1

    @once
    def second(self):
        self.times += 1
        return self.first + 1


def test_two_objects_do_not_wait_for_each_other():
    met = threading.Barrier(2)
    found = []
    both = [threading.Thread(target=lambda: found.append(Asked(met).second)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert found == [2, 2]
    assert not met.broken


def test_threads_of_one_object_compute_once():
    one = Asked(threading.Barrier(1))
    threads = [threading.Thread(target=lambda: one.second) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (one.second, one.times) == (2, 1)
    assert Asked.second.__doc__ is None
