"""What is killed at any moment goes on: each sample is learned once, and nothing wrong is served."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from world import World, loop

from easyrec.export.bundle import digest_of
from easyrec.loop.versions import Versions, read_manifest

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_each_sample_is_learned_once_and_only_good_versions_are_served(tmp_path, seed):
    command = [sys.executable, str(HERE / "killed_loop.py"), str(tmp_path), "60", str(seed)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=1500)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failed"] == [], done.stderr
    assert told["killed"]["join"] >= 3
    assert told["killed"]["model"] >= 10
    samples = pq.read_table(tmp_path / "samples", partitioning=None)
    names = samples["event_id"].to_pylist()
    assert len(names) == len(set(names))
    watermark = read_manifest(tmp_path / "samples" / "_joined.json")["watermark"] // 1000
    assert set(names) == {name for name, moment in told["exposed"] if moment < watermark - 60_000}
    clicked = {name for name, click in zip(names, samples["click"].to_pylist(), strict=True) if click}
    assert clicked == set(told["clicked"]) & set(names)
    versions = Versions(tmp_path / "state")
    planned = [number for number in versions if versions.read(number, "plan")]
    learned = [n for v in planned for n in pq.read_table(versions.at(v) / "rows.parquet")["event_id"].to_pylist()]
    assert len(learned) == len(set(learned))
    held = pq.read_table(versions.at(planned[-1]) / "held.parquet")["event_id"].to_pylist()
    until = versions.read(planned[-1], "plan")["until"]
    rest = [p for p in (tmp_path / "samples").rglob("part-*.parquet") if int(p.stem.rpartition("-")[2]) >= until]
    waiting = [name for path in rest for name in pq.read_table(path, partitioning=None)["event_id"].to_pylist()]
    assert sorted([*learned, *held, *waiting]) == sorted(names)
    passed = {digest_of(versions.run(n) / "bundle") for n in planned if versions.passed(n)}
    assert set(told["seen"]) <= passed
    assert digest_of(tmp_path / "served" / "current") in passed
    good = {
        digest_of(versions.run(n) / "bundle") for n in planned if versions.passed(n) and not versions.is_rolled_back(n)
    }
    deltas = [read_manifest(path / "manifest.json") for path in (tmp_path / "served" / "deltas").iterdir()]
    assert {delta["result"] for delta in deltas} <= good
    for number in planned:
        base = versions.read(number, "plan")["base"]
        assert base is None or versions.passed(base)


@pytest.mark.slow
def test_a_loop_starts_its_processes_again_and_leaves_none_behind(tmp_path):
    config = tmp_path / "loop.yaml"
    config.write_text(yaml.safe_dump(loop(tmp_path, status={"port": 0})))
    world = World(tmp_path / "logs")
    world.pass_time(200)
    command = [sys.executable, "-m", "easyrec", "loop", "run", "-c", str(config)]
    versions, state = Versions(tmp_path / "state"), tmp_path / "state" / "supervisor.json"

    def wait(what, seconds=600):
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        return found

    def children():
        told = read_manifest(state)
        if told is None or told["process"] != run.pid:
            return None
        return {role: child["process"] for role, child in told["children"].items()}

    def serving(number):
        return lambda: (versions.served or 0) >= number

    log = tmp_path / "log.txt"
    with log.open("w") as errors:
        run = subprocess.Popen(command, stderr=errors, env=ENVIRONMENT)
        wait(serving(1))
        (address,) = {word for word in log.read_text().split() if word.startswith("http://")}
        with urllib.request.urlopen(f"{address}metrics") as answer:
            assert b"easyrec_loop_served_version 1\n" in answer.read()
        second = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
        assert second.returncode == 1
        assert f"the loop is done by another process (process {run.pid})" in second.stderr
        before = children()
        os.kill(before["model"], signal.SIGKILL)
        wait(lambda: children()["model"] not in (before["model"], None))
        world.pass_time(200)
        wait(serving(2))
        before = children()
        run.kill()
        run.wait()
        wait(lambda: not any(Path(f"/proc/{number}").exists() for number in before.values()), 30)
        run = subprocess.Popen(command, stderr=errors, env=ENVIRONMENT)
        world.pass_time(200)
        wait(serving(3))
        run.terminate()
        assert run.wait(90) == 0, log.read_text()
    assert not any(Path(f"/proc/{number}").exists() for number in children().values())
