"""A finished run, ready to score: the weights of a checkpoint in the parts that its config describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from easyrec import models
from easyrec.config import Experiment, load_experiment
from easyrec.config.train import SGD
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.propagated import collection_of
from easyrec.embedding.tiers import store_of
from easyrec.errors import CheckpointError, RunError
from easyrec.export.bundle import Bundle
from easyrec.train.checkpoint import best_or_last
from easyrec.train.ema import EMA
from easyrec.train.former import read_former
from easyrec.train.objective import Objective
from easyrec.train.run_folder import CALIBRATION, read_json
from easyrec.train.scorer import Scorer, task_scorings
from easyrec.train.snapshot import Snapshot, read_folder
from feature_generator.saved import FEATURES, fingerprint


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
    scorer = _blank(experiment, run_dir)
    if experiment.train.ema and "ema" in snapshot.tensors:
        scorer.ema = EMA(scorer.model, experiment.train.ema.decay)
    scorer.load(snapshot)
    scorer.calibrate(read_json(run_dir / CALIBRATION) or {})
    return scorer


def experiment_of_bundle(path: Path, mode: Literal["raw", "encoded"]) -> Experiment:
    """What a bundle was made of: its model, tasks and features.

    Args:
        path: The bundle.
        mode: What columns hold that are to be scored: raw values, or features.

    Raises:
        BundleError: The bundle is damaged.
        ConfigError: It needs plugins that are not plugged in.
    """
    manifest = Bundle.open(path, verify=False).manifest
    # The data of training may be out of reach, and its features are those that lie in the bundle.
    data = {key: value for key, value in manifest.config["data"].items() if key in ("labels", "negative_sampling")}
    config = {"name": manifest.name, "data": {**data, "fg": mode}, "model": manifest.config["model"]}
    return load_experiment({**config, "features": str((path / "generator" / FEATURES).absolute())})


def restore_bundle(path: Path, experiment: Experiment) -> Scorer:
    """The scorer of a bundle: the model itself, with what is served of its weights.

    Args:
        path: The bundle.
        experiment: What it was made of.

    Raises:
        BundleError: The bundle is damaged.
    """
    manifest, former = Bundle.open(path, verify=False).manifest, read_former(path)
    scorer = _blank(experiment, path)
    weights = {f"{name}/weight": table for name, table in former.tables.items()}
    keys = {f"{name}/key_{part}": array for name, parts in former.keys.items() for part, array in parts.items()}
    own = scorer.model.state_dict()  # of which the bundle lacks what serves training alone
    dense = {**own, **{name: tensor for name, tensor in former.dense.items() if name in own}}
    scorer.load(Snapshot({}, {"dense": dense}, {**weights, **keys}))
    scorer.calibrate({task.name: task.calibration for task in manifest.scoring if task.calibration is not None})
    return scorer


def _blank(experiment: Experiment, folder: Path) -> Scorer:
    """A scorer that has learned nothing yet."""
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    # Plain SGD keeps no state beside the tables: nothing is trained here.
    store = store_of(experiment.train.storage, folder)
    collection = collection_of(experiment.model, plan, SGD(), seed=experiment.train.seed, storage=store)
    model = models.build(experiment.model, plan, experiment.tasks)
    model.eval()
    return Scorer(model, collection, Objective(experiment.tasks), task_scorings(experiment))
