"""How this process shares the machine's processors."""

from __future__ import annotations

import os


def num_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads() -> int:
    """Threads of a computation: `OMP_NUM_THREADS` where it is set, as in torch, else one per processor."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # one number per level of nesting
    return int(text) if text.isdecimal() and int(text) else num_processors()


def wait_asleep() -> None:
    """Let threads that wait for a parallel region sleep, unless the user has set a policy; before torch is loaded.

    OpenMP's default is to spin. Our reader thread computes beside the training threads, so on a machine with as many
    threads as processors a spinning one takes the processor from the one it waits for: with other work on 2 cores a
    training step took 5 times as long (docs/decisions/waiting-threads-sleep.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def this_worker() -> tuple[int, int, int]:
    """Which worker of a job this process is, of how many, and which of its machine; (0, 1, 0) without torchrun.

    The environment is torchrun's way of telling it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1, 0
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
