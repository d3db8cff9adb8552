"""A finished run, ready to score: the weights of a checkpoint in the parts that its config describes."""

from __future__ import annotations

import os
from pathlib import Path

from easyrec import models
from easyrec.config import Experiment
from easyrec.config.train import SGD
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.propagated import collection_of
from easyrec.embedding.tiers import store_of
from easyrec.errors import CheckpointError, RunError
from easyrec.train.checkpoint import best_or_last
from easyrec.train.ema import EMA
from easyrec.train.objective import Objective
from easyrec.train.run_folder import CALIBRATION, read_json
from easyrec.train.scorer import Scorer, task_scorings
from easyrec.train.snapshot import read_folder
from feature_generator.saved import fingerprint


def restore(experiment: Experiment, run_dir: Path, checkpoint: str | os.PathLike[str] | None = None) -> Scorer:
    """The scorer of a run.

    Args:
        experiment: What was trained there.
        run_dir: Folder of the run.
        checkpoint: Folder of the checkpoint; default: the best of the run, else the newest.

    Raises:
        RunError: There is no such run.
        CheckpointError: The checkpoint is damaged, or of another model or other features.
    """
    if checkpoint is None and not (run_dir / "checkpoints").is_dir():
        raise RunError(f"{run_dir}: holds no checkpoints; train first, or name a checkpoint")
    folder = Path(checkpoint) if checkpoint is not None else best_or_last(run_dir / "checkpoints")
    snapshot = read_folder(folder)
    # Encoded columns hold what raw ones become: a model trained on either scores both.
    if snapshot.state.get("features") not in {fingerprint(experiment.generator, mode) for mode in ("raw", "encoded")}:
        raise CheckpointError(f"{folder}: was trained on other features, or on other vocabularies of them")
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    # Plain SGD keeps no state beside the tables: nothing is trained here.
    store = store_of(experiment.train.storage, run_dir)
    collection = collection_of(experiment.model, plan, SGD(), seed=experiment.train.seed, storage=store)
    model = models.build(experiment.model, plan, experiment.tasks)
    model.eval()
    ema = EMA(model, experiment.train.ema.decay) if experiment.train.ema and "ema" in snapshot.tensors else None
    scorer = Scorer(model, collection, Objective(experiment.tasks), task_scorings(experiment), ema)
    scorer.load(snapshot)
    scorer.calibrate(read_json(run_dir / CALIBRATION) or {})
    return scorer
