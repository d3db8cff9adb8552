"""Where the dense part of a model is trained, and where it is served."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.errors import ConfigError, Problem

CPU = torch.device("cpu")


def open_device(name: str, key: str = "train.device") -> torch.device:
    """The device that a config names.

    Args:
        name: `cpu`, `cuda`, `cuda:<number>`.
        key: Where the config does.

    Raises:
        ConfigError: This machine has none of that name, or torch cannot use it.
    """
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            seen = f"torch {torch.__version__} sees {count or 'no'} GPU{'s' * (count != 1)} here"
            raise ConfigError([Problem(f"there is no '{name}': {seen}\nallowed: {_allowed(count)}", key)])
    return device


def _allowed(count: int) -> str:
    return ", ".join(["cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))])


def described(device: torch.device) -> str:
    """The device as people know it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU it goes through pinned memory, so that nobody waits for what the GPU does now."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
