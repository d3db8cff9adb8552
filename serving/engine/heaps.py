"""How the threads of a process share its memory."""

from __future__ import annotations

import ctypes
import os
import platform

_M_ARENA_MAX = -8
"""As malloc.h of glibc has it."""


def few_arenas() -> None:
    """Have the threads of this process share two heaps, unless the user has said how many (`MALLOC_ARENA_MAX`).

    Sources, stages and searches run in threads, and by default glibc gives each thread a heap of its own: what one frees no
    other can use, and memory grew for hours by 200 bytes a request. With two heaps it stays as it is, and answers take no longer.
    """
    if platform.libc_ver()[0] == "glibc" and "MALLOC_ARENA_MAX" not in os.environ:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
