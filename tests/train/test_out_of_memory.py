"""Where there is no memory: what is told, and that nothing is lost."""

import json

import numpy as np
import pytest
import torch

from easyrec.errors import RunError
from easyrec.train.checkpoint import CheckpointStore
from easyrec.train.out_of_memory import available, doubt_about, lacks_memory
from easyrec.train.trainer import Trainer

HUGE = 1 << 50


class Starving(Trainer):
    """Asks for more than there is inside of one step."""

    at, ask = 0, staticmethod(lambda: None)

    def _learn(self, batch):
        if self.step == self.at:
            self.ask()
        super()._learn(batch)


@pytest.mark.parametrize("ask", [lambda: np.empty(HUGE, np.uint8), lambda: torch.empty(HUGE)], ids=["numpy", "torch"])
def test_a_step_without_memory_ends_with_the_way_to_go_on(toy, ask):
    settings = {"train__epochs": 2, "train__checkpoint": {"every": {"steps": 5}}}
    whole = toy.trainer(run="whole", **settings).fit()
    starving = type("At", (Starving,), {"at": 12, "ask": staticmethod(ask)})
    with pytest.raises(
        RunError, match=r"out of memory in step 13: .*\nthe checkpoint of step 10 is whole.*--resume\n.*data.batch_size"
    ):
        toy.trainer(kind=starving, **settings).fit()
    assert CheckpointStore(toy.path / "run" / "checkpoints").newest()[0] == 10
    run = toy.trainer(resume=True, **settings).fit()
    one, two = (json.loads((path / "metrics.json").read_text()) for path in (whole.path, run.path))
    assert one["test"] == two["test"]


def test_the_first_step_has_nothing_to_go_on_from(toy):
    starving = type("At", (Starving,), {"at": 0, "ask": staticmethod(lambda: np.empty(HUGE, np.uint8))})
    with pytest.raises(RunError, match="nothing was saved yet"):
        toy.trainer(kind=starving).fit()


def test_tables_for_which_there_is_no_memory_are_told_with_the_remedy(toy, caplog):
    features = [{**toy.config["features"][0], "num_buckets": 10**15}, *toy.config["features"][1:]]
    with pytest.raises(
        RunError, match=r"the tables take [\d,]+\.\d GB with .* the system refuses\n.*storage: \{memory_mb"
    ):
        toy.trainer(features=features)
    assert "GB of memory are free; train.storage bounds what they take" in caplog.text


def test_other_errors_are_not_taken_for_it():
    assert not lacks_memory(RuntimeError("shapes differ"))
    assert lacks_memory(MemoryError())


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    assert available(tmp_path) == 4000 << 10
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert available(tmp_path) == 4000 << 10
    (group / "memory.max").write_text("3000000\n")
    (group / "memory.current").write_text("1000000\n")
    assert available(tmp_path) == 2_000_000
    assert available(tmp_path / "nowhere") is None
    assert doubt_about(1) == ""
