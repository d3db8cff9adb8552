"""All of a trainer's state: into a checkpoint, and back."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from safetensors.torch import load, save

from easyrec.errors import CheckpointError
from easyrec.train.matching import NEAR
from easyrec.train.randomness import load_random_state, random_state, seed_all
from easyrec.train.run_folder import METRICS, PROGRESS
from easyrec.train.scorer import check_shapes
from easyrec.train.snapshot import Snapshot

if TYPE_CHECKING:
    from easyrec.train.trainer import Trainer


def snapshot_of(trainer: Trainer) -> Snapshot:
    """All that training needs to go on as if it had never stopped."""
    workers = trainer.workers
    loaders = [json.loads(text) for text in workers.texts(json.dumps(trainer.loader.state()))]
    plain, generators = random_state()
    of_others = [json.loads(text) for text in workers.texts(json.dumps(plain))[1:]]
    for rank, data in enumerate(workers.bytes(save(generators))[1:], 1):
        generators |= {f"{rank}/{name}": tensor for name, tensor in load(data).items()}
    state = {
        "step": trainer.step,
        "samples": trainer.samples,
        "epoch_rows": trainer.epoch_rows,
        "evaluated_step": trainer.evaluated_step,
        "best_step": trainer.best.best_step if trainer.best else None,
        "best": trainer.best.state() if trainer.best else None,
        "evaluation": trainer.evaluation.state(),
        "saving": trainer.saving.state(),
        "rates": {"dense": trainer.dense_rate.state(), "sparse": trainer.sparse_rate.state()},
        "losses": [trainer.loss_since_log.state(), trainer.loss_since_evaluation.state()],
        "epoch": trainer.epoch,
        "loader": loaders[0],
        "evaluated": {name: loader.pinned() for name, loader in trainer.evaluated.items()},
        "event_time": trainer.event_time,
        "features": trainer.experiment.generator.fingerprint,
        "optimizers": _optimizers(trainer),
        "files": {name: trainer.folder.size(name) for name in (METRICS, PROGRESS)},
        "seconds": trainer.seconds,
        "random": plain,
        "refreshed": trainer.matching.refreshed if trainer.matching else 0,
    }
    if workers.several:
        state |= {"loaders": loaders, "random_of_others": of_others}
    tensors = {"dense": trainer.model.state_dict(), "optimizer": trainer.updates.state(), "random": generators}
    if trainer.ema is not None:
        tensors["ema"] = trainer.ema.state()
    if trainer.recent is not None:
        tensors["recent"] = trainer.recent.state()
    if weighting := trainer.weighting.state_dict():
        tensors["weighting"] = weighting
    if trainer.lessons is not None and (lessons := trainer.lessons.state_dict()):
        tensors["lessons"] = lessons
    arrays = trainer.collection.state_arrays()
    return Snapshot(state, tensors, {**arrays, **trainer.matching.state()} if trainer.matching else arrays)


def start_anew(trainer: Trainer) -> None:
    """Let the random numbers of workers other than the first follow from the seed and the step."""
    if not trainer.workers.first:
        text = f"{trainer.config.seed}:{trainer.step}:{trainer.workers.rank}"
        seed_all(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little"))


def _load_random_state(trainer: Trainer, snapshot: Snapshot) -> None:
    """Let this worker's random numbers go on; where there were other numbers of workers, those of the first one."""
    rank, size = trainer.workers.rank, trainer.workers.size
    plain, tensors = snapshot.state["random"], snapshot.tensors["random"]
    of_others = snapshot.state.get("random_of_others", [])
    if rank and len(of_others) + 1 == size:
        plain = of_others[rank - 1]
        tensors = {name.partition("/")[2]: t for name, t in tensors.items() if name.startswith(f"{rank}/")}
    elif rank:
        start_anew(trainer)
        return
    load_random_state(plain, tensors)


def go_to(trainer: Trainer, snapshot: Snapshot) -> None:
    """Go to the state of a checkpoint, and cut the run's files back to it.

    Raises:
        CheckpointError: It is of another model, of other features, or of other optimizers.
    """
    state = snapshot.state
    if state["features"] != trainer.experiment.generator.fingerprint:
        raise CheckpointError("cannot resume: the features or their vocabularies have changed since the checkpoint")
    for name, kind in _optimizers(trainer).items():
        was = state["optimizers"].get(name, "fixed")  # the first checkpoints know of no other weighting
        if was != kind:
            raise CheckpointError(f"cannot resume: the {name} was '{was}' until the checkpoint, and is '{kind}' now")
    check_shapes(snapshot, trainer.model)
    trainer.collection.load_state_arrays({name: a for name, a in snapshot.arrays.items() if name != NEAR})
    if trainer.matching is not None:
        trainer.matching.load_state(snapshot.arrays, state.get("refreshed", 0))
    trainer.model.load_state_dict(snapshot.tensors["dense"])
    trainer.updates.load_state(snapshot.tensors["optimizer"])
    if trainer.ema is not None:
        trainer.ema.load_state(snapshot.tensors.get("ema", snapshot.tensors["dense"]))
    trainer.weighting.load_state_dict(snapshot.tensors.get("weighting", {}))
    if trainer.lessons is not None and "lessons" in snapshot.tensors:
        trainer.lessons.load_state_dict(snapshot.tensors["lessons"])
    if trainer.recent is not None:
        trainer.recent.load_state(snapshot.tensors.get("recent", {}))
    trainer.loader.load_states(state.get("loaders", [state["loader"]]))
    trainer.epoch = state.get("epoch", state["loader"]["epoch"])
    for name, loader in trainer.evaluated.items():
        pinned = state.get("evaluated", {}).get(name)
        if pinned is not None:
            loader.pin(pinned)
    trainer.plan_rates()  # how long training is may be known only now
    trainer.event_time = state.get("event_time")
    trainer.step, trainer.samples, trainer.epoch_rows = state["step"], state["samples"], state["epoch_rows"]
    trainer.evaluated_step, trainer.former_seconds = state["evaluated_step"], state["seconds"]
    if trainer.best is not None and state["best"] is not None:
        trainer.best.load_state(state["best"])
    trainer.evaluation.load_state(state["evaluation"])
    trainer.saving.load_state(state["saving"])
    trainer.dense_rate.load_state(state["rates"]["dense"])
    trainer.sparse_rate.load_state(state["rates"]["sparse"])
    for mean, kept in zip((trainer.loss_since_log, trainer.loss_since_evaluation), state["losses"], strict=True):
        mean.load_state(kept)
    for name, size in state["files"].items():
        trainer.folder.truncate(name, size)
    _load_random_state(trainer, snapshot)


def _optimizers(trainer: Trainer) -> dict[str, str]:
    config = trainer.config
    return {
        "dense_optimizer": config.dense_optimizer.type,
        "sparse_optimizer": config.sparse_optimizer.type,
        "task_weighting": config.task_weighting.type,
    }
