import platform
import resource

import numpy as np
import pytest

from easyrec.train.memory import kept_memory


def faults(times):
    """Page faults of taking, filling and freeing 8 MB so many times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        parts = [np.empty(1 << 18, np.float64) for _ in range(4)]
        for part in parts:
            part.fill(1.0)
        del part, parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_step_reuses_the_memory_of_the_one_before():
    with kept_memory():
        faults(2)
        assert faults(10) < 1000  # 10 times 8 MB are 20,000 pages


def test_it_can_be_entered_again():
    for _ in range(2):
        with kept_memory():
            faults(1)
