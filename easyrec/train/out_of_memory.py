"""What is told where there is no memory left, and before tables take more than there is."""

from __future__ import annotations

from pathlib import Path

import torch

from easyrec.errors import RunError

_SMALLER = "smaller batches (data.batch_size, data.batch_cost), data.shuffle.buffer_mb, train.storage"


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had: numpy's, Arrow's, a GPU's, or that of torch on a processor."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def out_of_memory(error: BaseException, step: int, saved: int) -> RunError:
    """What ends a training.

    Args:
        error: What was raised.
        step: Steps done.
        saved: Step of the newest checkpoint; below 0: there is none.
    """
    first = str(error).partition("\n")[0] or type(error).__name__
    kept = "nothing was saved yet" if saved < 0 else f"the checkpoint of step {saved:,} is whole: go on with --resume"
    return RunError(f"out of memory in step {step + 1:,}: {first}\n{kept}\nless of it is taken with: {_SMALLER}")


def no_memory_for_tables(needed: int) -> RunError:
    """What is raised where tables cannot be made that take so many bytes."""
    text = f"the tables take {needed / 1e9:,.1f} GB with their optimizer's state, and the system refuses"
    return RunError(f"{text}\nbound them: train: {{storage: {{memory_mb: ...}}}}")


def doubt_about(needed: int) -> str:
    """That tables of so many bytes take more memory than is free, or nothing."""
    free = available()
    if free is None or needed <= free:
        return ""
    text = f"the tables take {needed / 1e9:,.1f} GB with their optimizer's state, and {free / 1e9:,.1f} GB of memory are free"
    return f"{text}; train.storage bounds what they take"


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, as the system and the limits of its container tell; None: unknown."""
    found = []
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        group = root / "sys/fs/cgroup"
        if (most := (group / "memory.max").read_text(encoding="ascii").strip()) != "max":
            found.append(max(0, int(most) - int((group / "memory.current").read_text(encoding="ascii"))))
    except (OSError, ValueError):
        pass
    return min(found, default=None)
