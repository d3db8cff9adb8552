"""Files that several bundles hold, mapped once in a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from weakref import WeakValueDictionary

import numpy as np

_lock = threading.Lock()
_mapped: WeakValueDictionary[Hashable, np.ndarray] = WeakValueDictionary()


def mapped_once(content: Hashable, load: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that stands for a content: one that is in use already, else what `load` gives.

    Args:
        content: A checksum that was compared with the bytes, and how they are read; None: they are not known.
        load: Maps them.
    """
    if content is None:
        return load()
    with _lock:
        found = _mapped.get(content)
    if found is not None:
        return found
    made = load()
    with _lock:
        return _mapped.setdefault(content, made)
