"""Does what a file lists, as one worker of several that torchrun has started, or alone: torch is imported once for all.

`{"config": {...}, "folder": "...", "resume": false}` trains, by gloo where the config says so; with `copied`, the folder's newest checkpoint is only read
and written there.
"""

import json
import sys
from pathlib import Path

from easyrec.config import load_experiment
from easyrec.processors import this_worker
from easyrec.train.snapshot import read_folder, write_folder
from easyrec.train.state import go_to, snapshot_of
from easyrec.train.trainer import Trainer
from easyrec.workers import Workers


def main():
    workers = Workers(*this_worker())
    workers.join(60.0)
    near = workers._near
    assert near is not None or not workers.several, "workers of one machine share its memory"
    for run in json.loads(Path(sys.argv[1]).read_text()):
        experiment = load_experiment(run["config"])
        if workers.several:
            experiment.require_distributed()
        chosen = experiment.train.distributed
        workers._near = None if chosen is not None and chosen.transport == "gloo" else near
        options = {"resume": run.get("resume", False), "bar": False, "export": run.get("export", False)}
        trainer = Trainer(experiment, run["folder"], workers=workers, **options)
        if "copied" not in run:
            trainer.fit()
            continue
        go_to(trainer, read_folder(trainer.store.folder(trainer.store.steps()[-1])))
        snapshot = snapshot_of(trainer)
        if workers.first:
            write_folder(Path(run["copied"]), snapshot)
        else:
            trainer.store.take_part(snapshot)
        trainer.loader.close()
    workers.leave()


main()
