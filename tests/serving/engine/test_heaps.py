"""Threads of an engine's process share their heaps."""

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, sys, threading
import pyarrow as pa
from serving.engine.heaps import few_heaps

if sys.argv[1] == "few":
    few_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)

def allocate():
    together.wait()
    for _ in range(100):
        libc.malloc(100)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(pa.array([1, 2, 3]).cast("int32").buffers()[1].size and pa.default_memory_pool().backend_name)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps are glibc's")
@pytest.mark.parametrize("how", ["few", "as glibc does"])
def test_threads_share_two_heaps(tmp_path, monkeypatch, how):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    told = tmp_path / "heaps.xml"
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    command = [sys.executable, "-c", THREADS, how, str(told)]
    pool = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout.strip()
    assert (pool == "system") == (how == "few")
    heaps = told.read_text().count("<heap nr=")
    assert heaps <= 2 if how == "few" else heaps > 2
