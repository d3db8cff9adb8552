"""Lines are read whole, whatever becomes of the process that writes them."""

import json
import os
import resource
import subprocess
import sys
import threading
import time

import pytest

from serving.engine.config import RecordConfig
from serving.engine.record import Record, event_lines, show
from serving.server.metrics import Metrics


def put(record, number):
    record.put("events", lambda: event_lines([{"n": number}]))


def test_files_are_shown_when_they_are_whole(tmp_path):
    record = Record(RecordConfig(path=str(tmp_path), file_rows=2), Metrics())
    for number in range(5):
        put(record, number)
    record.close()
    files = sorted(tmp_path.glob("events-*.jsonl"))
    assert [len(file.read_text().splitlines()) for file in files] == [2, 2, 1]
    assert [json.loads(line)["n"] for file in files for line in file.read_text().splitlines()] == list(range(5))
    assert list(tmp_path.glob(".*")) == []


def test_what_a_killed_process_left_is_shown_up_to_its_last_whole_line(tmp_path):
    code = f"""
import os, sys
from serving.engine.config import RecordConfig
from serving.engine.record import Record, event_lines
from serving.server.metrics import Metrics
record = Record(RecordConfig(path={str(tmp_path)!r}, file_s=3600), Metrics())
record.put("events", lambda: event_lines([{{"n": 1}}, {{"n": 2}}]))
import time
while not any(os.path.getsize(p) for p in __import__("glob").glob({str(tmp_path)!r} + "/.events*")):
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.glob(".events-*.writing")
    with left.open("ab") as file:
        file.write(b'{"n": 3')  # a line that was cut
    Record(RecordConfig(path=str(tmp_path)), Metrics()).close()
    (shown,) = tmp_path.glob("events-*.jsonl")
    assert shown.read_bytes() == b'{"n":1}\n{"n":2}\n'


def counted(metrics):
    return {labels[1][1]: value for name, labels, value in metrics.state()["counters"] if "record" in name}


def test_what_a_process_of_the_same_number_left_is_shown_and_counted(tmp_path):
    (tmp_path / f".events-{os.getpid()}-0123abcd.writing").write_bytes(b'{"n":1}\n{"n":2}\n{"n"')
    metrics = Metrics()
    Record(RecordConfig(path=str(tmp_path)), metrics).close()
    (shown,) = tmp_path.glob("events-*.jsonl")
    assert shown.read_bytes() == b'{"n":1}\n{"n":2}\n'
    assert counted(metrics) == {"recovered": 2}


def test_what_is_left_is_shown_while_others_write(tmp_path, monkeypatch):
    metrics = Metrics()
    one = Record(RecordConfig(path=str(tmp_path), file_s=3600), metrics)
    beside = Record(RecordConfig(path=str(tmp_path), file_s=3600), Metrics())
    put(one, 1)
    put(beside, 2)
    while counted(one._metrics) != {"written": 1} or counted(beside._metrics) != {"written": 1}:
        time.sleep(0.005)
    (tmp_path / ".exposures-1-0123abcd.writing").write_bytes(b'{"n":3}\n')
    monkeypatch.setattr("serving.engine.record.TIDY_S", 0.0)
    for _ in range(400):
        if list(tmp_path.glob("exposures-*.jsonl")):
            break
        time.sleep(0.01)
    else:
        pytest.fail("nobody showed it")
    assert len(list(tmp_path.glob(".events-*.writing"))) == 2  # somebody writes these
    one.close()
    beside.close()
    assert len(list(tmp_path.glob("events-*.jsonl"))) == 2
    assert (counted(one._metrics) | counted(beside._metrics))["recovered"] == 1


def test_a_file_without_a_whole_line_goes(tmp_path):
    path = tmp_path / ".events-1-ab.writing"
    path.write_bytes(b"{")
    show(path)
    assert list(tmp_path.iterdir()) == []


def test_a_line_of_which_the_disk_took_a_part_is_no_line(tmp_path):
    metrics = Metrics()
    record = Record(RecordConfig(path=str(tmp_path), file_s=3600), metrics)
    whole, room = resource.getrlimit(resource.RLIMIT_FSIZE), threading.Event()

    def lines():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, whole[1]))  # so many bytes of a file, as if the disk were full
        return [b'{"n":1}\n', b'{"n":"' + b"x" * 100 + b'"}\n']

    def more():
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
        room.set()
        return [b'{"n":3}\n']

    try:
        record.put("events", lines)
        record.put("events", more)
        assert room.wait(10)
        record.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    read = [line for file in sorted(tmp_path.glob("events-*.jsonl")) for line in file.read_bytes().splitlines()]
    assert [json.loads(line)["n"] for line in read] == [1, 3]
    counts = {labels[1][1]: value for name, labels, value in metrics.state()["counters"] if "record" in name}
    assert counts == {"failed": 2, "written": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.slow
def test_a_full_disk_loses_lines_and_nothing_else(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        metrics = Metrics()
        record = Record(RecordConfig(path=str(tmp_path), file_s=0.01), metrics)
        for _ in range(200):
            record.put("events", lambda: event_lines([{"n": "x" * 1000}]))
            time.sleep(0.002)
        record.close()
        counts = {labels[1][1]: value for name, labels, value in metrics.state()["counters"] if "record" in name}
        assert counts["written"] > 10
        assert counts["failed"] > 10
        for file in tmp_path.glob("events-*.jsonl"):
            assert all(json.loads(line)["n"] for line in file.read_text().splitlines())
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=False)
