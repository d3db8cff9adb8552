"""Trains on a table as one worker of two: the second one opens it after somebody has written to it.

The folder that the command line names holds `config.json` and the Delta table `log`; each worker notes what it has read.
"""

import json
import sys
from pathlib import Path

import deltalake
import pyarrow as pa

from easyrec.config import load_experiment
from easyrec.data import open_sources
from easyrec.processors import this_worker
from easyrec.train.trainer import Trainer
from easyrec.workers import Workers


def main():
    home = Path(sys.argv[1])
    workers = Workers(*this_worker())
    workers.join(60.0)
    experiment = load_experiment(json.loads((home / "config.json").read_text()))
    source = open_sources(experiment).train.source if workers.first else None
    workers.told("opened")
    if not workers.first:
        table = deltalake.DeltaTable(home / "log")
        deltalake.write_deltalake(table, pa.table(table.to_pyarrow_table()), mode="append")
        source = open_sources(experiment).train.source
    version = source.pinned()["version"]
    trainer = Trainer(experiment, home / "run", workers=workers, data={"train": source}, bar=False, export=False)
    trainer.fit()
    told = {"opened": version, "read": source.pinned()["version"], "samples": trainer.samples}
    (home / f"worker-{workers.rank}.json").write_text(json.dumps(told))
    workers.leave()


main()
