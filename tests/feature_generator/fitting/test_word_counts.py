"""`WordCounts` against `Counter`, in memory and on disk, and how much memory it takes."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator.fitting import word_counts
from feature_generator.fitting.word_counts import WordCounts
from feature_generator.fitting.word_runs import merged, read_run, write_run

WORDS = st.sampled_from(["a", "b", "aa", "é", "中", "z\n", "\x1d", " a", "\ufeffb", "\uffff", "\U0001f600", ""])
PARTS = st.lists(st.lists(WORDS | st.text(max_size=3), max_size=30), max_size=6)


def small(monkeypatch=None):
    """Counts that go to disk after every few words."""
    counts = WordCounts()
    counts.memory_bytes = 64
    return counts


def expected(words, min_count=1, top_k=None):
    ranked = sorted(((-n, word.encode(), n) for word, n in Counter(words).items() if n >= min_count))
    return [(word.decode(), n) for _, word, n in ranked[:top_k]]


def pairs(table):
    return list(zip(table["word"].to_pylist(), table["count"].to_pylist(), strict=True))


@given(PARTS, st.integers(1, 3), st.none() | st.integers(1, 5))
def test_the_top_is_that_of_a_counter(parts, min_count, top_k):
    counts = WordCounts()
    for part in parts:
        counts.add(pa.array(part, pa.large_string()))
    assert pairs(counts.top(min_count, top_k)) == expected([w for p in parts for w in p], min_count, top_k)


@settings(max_examples=60)
@given(PARTS, st.integers(1, 3), st.none() | st.integers(1, 5), st.randoms())
def test_shards_on_disk_merge_to_the_whole(parts, min_count, top_k, random):
    whole = [word for part in parts for word in part]
    shards = [small() for _ in range(3)]
    for word in random.sample(whole, len(whole)):  # neither order nor shard matters
        shards[random.randrange(3)].add(pa.array([word], pa.large_string()))
    first, *rest = shards
    for other in rest:
        first.merge(other)
    del rest, shards
    assert pairs(first.top(min_count, top_k)) == expected(whole, min_count, top_k)
    assert first.spilled == bool(whole)
    assert pairs(first.top(min_count, top_k)) == expected(whole, min_count, top_k), "a second look differs"


def test_more_runs_than_fit_side_by_side_are_joined_first(tmp_path):
    counts = small()
    counts._parent = tmp_path
    words = [f"w{i % 97}" for i in range(400)]
    for word in words:
        counts.add(pa.array([word]))
    assert len(counts._runs) > 50
    assert pairs(counts.top()) == expected(words)
    assert len(counts._runs) <= 2
    folder = counts._folder
    assert len(list(folder.iterdir())) == len(counts._runs)
    del counts
    assert not folder.exists()


def test_nulls_are_no_words_and_a_saved_run_is_counted_again(tmp_path):
    counts = WordCounts()
    counts.add(pa.array(["b", None, "a", "b"]))
    counts.save(tmp_path / "run")
    again = WordCounts()
    again.add_run(tmp_path / "run")
    again.add(pa.array(["c", "a"]))
    assert pairs(again.top()) == [("a", 2), ("b", 2), ("c", 1)]
    assert pairs(pa.concat_tables(read_run(tmp_path / "run"))) == [("a", 1), ("b", 2)]


@given(st.lists(st.dictionaries(WORDS, st.integers(1, 9), max_size=12), max_size=5))
def test_runs_merge_block_by_block(tmp_path_factory, tables):
    folder = tmp_path_factory.mktemp("runs")
    total = Counter()
    for i, table in enumerate(tables):
        total.update(table)
        rows = [pa.table({"word": [w], "count": [table[w]]}) for w in sorted(table, key=str.encode)]
        schema = pa.schema([("word", pa.large_string()), ("count", pa.int64())])
        write_run(folder / str(i), [row.cast(schema) for row in rows])
    found = [pair for table in merged([folder / str(i) for i in range(len(tables))]) for pair in pairs(table)]
    assert found == sorted(total.items(), key=lambda pair: pair[0].encode())


PROGRAM = r"""
import re, sys
import numpy as np, pyarrow as pa
from feature_generator.fitting.word_counts import WordCounts
pa.set_memory_pool(pa.system_memory_pool())
pa.set_cpu_count(1)  # with several threads the peak is what chance lets run at the same time
rng = np.random.default_rng(0)
names = np.char.add("some-long-word-that-takes-memory-", np.arange(1000).astype(str))
def peak():
    with open("/proc/self/status") as file:  # ru_maxrss would count what the parent had when it forked
        return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1]) // 1024
def count(memory_bytes, blocks):
    counts = WordCounts(memory_bytes)
    for _ in range(blocks):
        high, low = rng.integers(0, 500, 50_000), rng.integers(0, 1000, 50_000)
        counts.add(pa.compute.binary_join_element_wise(pa.array(high.astype(str)), pa.array(names[low]), "-"))
    return counts, counts.top(1, 1000)
counts, _ = count(0, 3)  # the code of Arrow that is loaded on the way is no memory of ours
assert counts.spilled
before = peak()
counts, top = count(int(sys.argv[1]) << 20, 40)
assert top.num_rows == 1000 and counts.spilled == (sys.argv[2] == "disk")
print(peak() - before)
"""


def peak_mb(memory_mb, where):
    command = [sys.executable, "-c", PROGRAM, str(memory_mb), where]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_two_million_rows_of_half_a_million_words_stay_in_their_memory():
    bounded, free = peak_mb(16, "disk"), peak_mb(4096, "memory")
    assert bounded < 48, "16 MB for the counts, and the blocks of rows that come in"
    assert free > 4 * bounded, "without a bound it would not fit: the test measures something"


def test_memory_below_a_megabyte_is_a_megabyte():
    assert WordCounts(0).memory_bytes == word_counts.LEAST_BYTES
    with pytest.raises(pa.ArrowException):
        WordCounts().add_counts(pa.array(["a"]), pa.array(["many"]))
