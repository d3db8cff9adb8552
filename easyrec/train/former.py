"""What a run, a checkpoint or a bundle holds, for another training to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from easyrec.config import load_experiment
from easyrec.embedding.keys import PARTS
from easyrec.embedding.reader import TableReader
from easyrec.errors import ConfigError, EasyRecError, Problem, nearest
from easyrec.export.bundle import MANIFEST, Bundle
from easyrec.export.calls import WEIGHTS
from easyrec.export.choice import PROGRAM, TABLES
from easyrec.train.checkpoint import best_or_last
from easyrec.train.snapshot import names_in, read_folder, read_state
from feature_generator import FeatureGenerator
from feature_generator.saved import fingerprint

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Former:
    """Parameters and tables.

    Attributes:
        path: Where they were read.
        dense: Dense parameters and buffers by name, averages where there are any.
        tables: (rows, dim) float32 by name.
        keys: The parts of the keys of dynamic tables (`easyrec.embedding.keys.PARTS`), by name.
        generator: Makes the ids; None where it cannot be told.
        learned: The dense parameters and buffers that training moved, whether they were averaged or not.
        optimizer: State of the dense optimizer, as `<parameter>/<name>`.
        states: State of the tables' optimizer, by table and name.
        optimizers: Their types; none of a bundle.
        step: Steps that the tables have learned.
    """

    path: Path
    dense: Mapping[str, Tensor]
    tables: Mapping[str, np.ndarray]
    keys: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    generator: FeatureGenerator | None = None
    learned: Mapping[str, Tensor] = field(default_factory=dict)
    optimizer: Mapping[str, Tensor] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    optimizers: Mapping[str, str] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True)
class Outline:
    """What a run, a checkpoint or a bundle says that it holds.

    Attributes:
        names: Of dense parameters, buffers and tables.
        optimizers: Their types; none of a bundle.
    """

    names: list[str]
    optimizers: Mapping[str, str] = field(default_factory=dict)


def outline_of(path: str | Path) -> Outline:
    """Look at a run (its best checkpoint), a checkpoint or a bundle without reading its tables.

    Raises:
        ConfigError: There is nothing of the kind.
        CheckpointError: There is no checkpoint, or what it says cannot be read.
        BundleError: What the bundle says cannot be read.
    """
    folder, bundled = located(path)
    if bundled:
        bundle = Bundle.open(folder, verify=False)
        tables = [spec.name for spec in TableReader.open(bundle.folder(TABLES), verify=False).plan.tables]
        return Outline([*_dense_of(bundle), *tables])
    dense, tables = names_in(folder)
    return Outline([*dense, *tables], _kinds(read_state(folder)))


def read_former(path: str | Path) -> Former:
    """Read a run (its best checkpoint), a checkpoint or a bundle, and verify every byte.

    Raises:
        ConfigError: There is nothing of the kind.
        CheckpointError: There is no sound checkpoint.
        BundleError: The bundle is damaged.
    """
    folder, bundled = located(path)
    if bundled:
        return _of_bundle(folder)
    snapshot = read_folder(folder)
    tables = {name.removesuffix("/weight"): a for name, a in snapshot.arrays.items() if name.endswith("/weight")}
    keys: dict[str, dict[str, np.ndarray]] = {}
    states: dict[str, dict[str, np.ndarray]] = {}
    for name, array in snapshot.arrays.items():
        table, _, part = name.rpartition("/")
        if part.removeprefix("key_") in PARTS and part.startswith("key_"):
            keys.setdefault(table, {})[part.removeprefix("key_")] = array
        elif table and part != "weight":
            states.setdefault(table, {})[part] = array
    # The averages are what was evaluated and exported there.
    learned = snapshot.tensors.get("dense", {})
    dense = {**learned, **snapshot.tensors.get("ema", {})}
    return Former(
        folder,
        dense,
        tables,
        keys,
        _generator(folder, snapshot.state.get("features")),
        learned,
        snapshot.tensors.get("optimizer", {}),
        states,
        _kinds(snapshot.state),
        int(snapshot.arrays.get("step", 0)),
    )


def located(path: str | Path, where: str = "train.init_from.path") -> tuple[Path, bool]:
    """The folder of the checkpoint or bundle that is meant, and whether it is a bundle.

    Args:
        path: A run, a checkpoint or a bundle.
        where: Dotted path of what names it.

    Raises:
        ConfigError: There is nothing of the kind.
    """
    folder = Path(path)
    if (folder / MANIFEST).exists() and (folder / TABLES / "index.json").exists():
        return folder, True
    if (folder / CHECKPOINTS).is_dir():
        return best_or_last(folder / CHECKPOINTS), False
    if (folder / "manifest.json").exists():
        return folder, False
    beside = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
    told = "is no run, checkpoint or bundle" if folder.exists() else f"is not there{nearest(folder.name, beside)}"
    raise ConfigError([Problem(f"{path} {told}", where)])


def _kinds(state: Mapping[str, Any]) -> dict[str, str]:
    return {name.removesuffix("_optimizer"): kind for name, kind in state.get("optimizers", {}).items()}


def _generator(checkpoint: Path, known: str | None) -> FeatureGenerator | None:
    """That of the run of a checkpoint; None where its config or its vocabularies are no longer those of then."""
    config = checkpoint.parent.parent / "config.yaml"
    try:
        generator = load_experiment(config).generator if config.exists() else None
    except (EasyRecError, OSError):  # a file that it names is gone: tables are taken over by row all the same
        return None
    made = set() if generator is None else {fingerprint(generator, mode) for mode in ("raw", "encoded")}
    return generator if known in made else None


def _of_bundle(folder: Path) -> Former:
    bundle = Bundle.open(folder)
    reader = TableReader.open(bundle.folder(TABLES), verify=False)
    keys = {}
    for name, found in reader.keys.items():
        held = found.slots[found.slots[:, 1] >= 0]
        keys[name] = {
            "keys": held[:, 0],
            "rows": held[:, 1].astype(np.int32),
            "counts": np.ones(len(held), np.float32),
            "steps": np.zeros(len(held), np.uint32),
        }
    return Former(folder, _dense_of(bundle), reader.floats(), keys, FeatureGenerator.load(bundle.folder("generator")))


def _dense_of(bundle: Bundle) -> dict[str, Tensor]:
    dense = load_file(bundle.folder(PROGRAM) / WEIGHTS)
    return {name.removeprefix("model."): tensor for name, tensor in dense.items()}
