"""How the threads of a process share its memory."""

from __future__ import annotations

import ctypes
import os
import platform

import pyarrow as pa

POOL = "ARROW_DEFAULT_MEMORY_POOL"
_M_ARENA_MAX = -8
"""As malloc.h of glibc has it."""
_IS_GLIBC = platform.libc_ver()[0] == "glibc"


def few_heaps() -> None:
    """Have the threads of this process share two heaps, Arrow's columns too, unless the user has said otherwise.

    Sources, stages and searches run in threads, and by default each thread has a heap of its own, twice: of glibc, and of what
    Arrow takes its memory by (mimalloc). What one frees no other can use, and memory grew for hours by 200 bytes a request, and by
    5 MB with each thread that a busy moment started. With two heaps for all it stays as it is, is a third less, and answers take
    no longer. `MALLOC_ARENA_MAX` and `ARROW_DEFAULT_MEMORY_POOL` say otherwise.
    """
    if not _IS_GLIBC:
        return
    if "MALLOC_ARENA_MAX" not in os.environ:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    if POOL not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())


def few_heaps_below() -> None:
    """The same of processes that are started from now on: what Arrow does by itself, before it is told, too."""
    if _IS_GLIBC:
        os.environ.setdefault(POOL, "system")
