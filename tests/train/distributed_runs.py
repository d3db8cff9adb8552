"""Trains the runs that stdin lists, as one worker of several: torchrun starts it.

torch is imported once for all of them. Each run is `{"config": {...}, "folder": "...", "resume": false}`.
"""

import json
import sys
from pathlib import Path

from easyrec.config import load_experiment
from easyrec.processors import this_worker
from easyrec.train.trainer import Trainer
from easyrec.workers import Workers


def main():
    workers = Workers(*this_worker())
    workers.join(60.0)
    for run in json.loads(Path(sys.argv[1]).read_text()):
        options = {"resume": run.get("resume", False), "bar": False, "export": run.get("export", False)}
        experiment = load_experiment(run["config"])
        if workers.several:
            experiment.require_distributed()
        Trainer(experiment, run["folder"], workers=workers, **options).fit()
    workers.leave()


main()
