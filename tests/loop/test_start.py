"""A loop that starts from a run: it is served at once, and is what the first version is compared with."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from world import ITEMS, USERS, World, experiment, loop

import easyrec
from easyrec.cli import main
from easyrec.export.bundle import digest_of
from easyrec.loop.config import load_loop
from easyrec.loop.joining import columns_of
from easyrec.loop.versions import Versions
from easyrec.loop.worker import join

pytestmark = pytest.mark.slow


def test_a_run_is_the_first_version_and_steps_are_jobs(tmp_path, capsys):
    rows = {"user_id": list(range(USERS)) * 4, "item_id": [n % ITEMS for n in range(4 * USERS)]}
    rows |= {"click": [n % 2 for n in range(4 * USERS)], "time": list(range(4 * USERS))}
    start = easyrec.train(
        experiment(name="start"), data={"train": pa.table(rows)}, run_dir=tmp_path / "start", progress=False
    )
    content = loop(tmp_path, start=str(start.path), gate={"metric": "click_logloss"})
    config = tmp_path / "loop.yaml"
    features = experiment(eval={"metrics": [{"type": "logloss", "name": "click_logloss"}]})
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(features))
    config.write_text(yaml.safe_dump(content))
    versions = Versions(tmp_path / "state")

    def told(*words):
        assert main(["loop", *words, "-c", str(config)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()[-1]

    assert told("step", "publish") == "version 0 is served"
    assert digest_of(tmp_path / "served" / "current") == digest_of(start.bundle)
    assert columns_of(load_loop(content))["item_id"] == "int64"
    World(tmp_path / "logs").pass_time(300)
    join(load_loop(content), until_end=True)
    assert told("step", "train") == "version 1 is trained"
    assert told("step", "gate") == "version 1 passed the gate"
    gate = versions.read(1, "gate")
    assert gate["serving_version"] == 0
    assert 0 < gate["value"] < gate["serving"]  # less is better
    assert told("step", "publish") == "version 1 is served"
    assert told("rollback") == "version 0 is served instead of version 1"
    assert digest_of(tmp_path / "served" / "current") == digest_of(start.bundle)
    assert main(["loop", "step", "train", "-c", str(config), "-o", "start=nowhere", f"state={tmp_path / 'other'}"]) in (
        1,
        2,
    )
