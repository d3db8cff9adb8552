"""What one shard has gathered, as a folder: `state.json`, runs of words, arrays. Nothing in it is code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.errors import ConfigError, OutputError
from feature_generator.fitting.gathering import Gatherer, Numbers, Seen, Texts, Words
from feature_generator.fitting.moments import Moments
from feature_generator.fitting.quantiles import Quantiles
from feature_generator.fitting.word_runs import SCHEMA

FORMAT = 1
STATE = "state.json"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def save(folder: Path, head: Mapping[str, Any], gatherers: Mapping[str, Gatherer]) -> None:
    """Write a state to a new folder, whole or not at all.

    Raises:
        OutputError: The folder exists, or the disk refuses.
    """
    if folder.exists():
        raise OutputError(f"{folder} is there already: name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            states = {name: _save(temporary, i, one) for i, (name, one) in enumerate(gatherers.items())}
            for i, state in enumerate(states.values()):
                state["files"] = {path.name: _digest(path) for path in sorted(temporary.glob(f"{i}.*"))}
            (temporary / STATE).write_text(json.dumps({"format": FORMAT, **head, "features": states}), encoding="utf-8")
            temporary.chmod(0o755)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(f"cannot write {folder}: {reason}") from error


def _save(folder: Path, number: int, gathered: Gatherer) -> dict[str, Any]:
    state: dict[str, Any] = {"seen": asdict(gathered.seen)}
    if isinstance(gathered, Words):
        gathered.counts.save(folder / f"{number}.words")
    elif isinstance(gathered, Texts):
        gathered.statistics.words.save(folder / f"{number}.words")
        state |= {"doc_count": gathered.statistics.doc_count, "total_length": gathered.statistics.total_length}
    else:
        state |= {
            "moments": gathered.moments.state(),
            "labels": gathered.labels.state(),
            "binary": gathered.binary,
        }
        if gathered.quantiles is not None:
            state["quantiles"], arrays = gathered.quantiles.state()
            with (folder / f"{number}.npz").open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
    return state


def read(folder: Path) -> dict[str, Any]:
    """The head of the state in a folder.

    Raises:
        ConfigError: There is none, or it is damaged.
    """
    try:
        head: dict[str, Any] = json.loads((folder / STATE).read_bytes())
        _ = head["format"], head["rows"], head["label"], head["settings"], head["features"]
    except OSError as error:
        raise ConfigError(f"holds no state of easyrec fg fit --partial: {error.strerror}", str(folder)) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{STATE} is damaged", str(folder)) from None
    if head["format"] != FORMAT:
        raise ConfigError(f"the format is {head['format']}, but this version reads {FORMAT}", str(folder))
    return head


def load(folder: Path, head: Mapping[str, Any], gatherers: Mapping[str, Gatherer]) -> None:
    """Merge the state in a folder into gatherers of the same settings; runs of words stay where they are.

    Raises:
        ConfigError: It is damaged.
    """
    name = ""
    try:
        for i, (name, gathered) in enumerate(gatherers.items()):
            _load(folder, i, head["features"][name], gathered)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, EOFError) as error:
        raise ConfigError(f"the state of '{name}' is damaged: {error}", str(folder)) from None


def _load(folder: Path, number: int, state: Mapping[str, Any], gathered: Gatherer) -> None:
    for file, digest in state["files"].items():
        if _digest(folder / file) != digest:
            raise ValueError(f"the checksum of {file} does not match")
    seen = Seen(**state["seen"])
    words = folder / f"{number}.words"
    if isinstance(gathered, Numbers):
        if gathered.quantiles is not None:
            with np.load(folder / f"{number}.npz", allow_pickle=False) as arrays:
                gathered.quantiles.merge(Quantiles.of(state["quantiles"], dict(arrays)))
        gathered.moments.merge(Moments.of(state["moments"]))
        gathered.labels.merge(Moments.of(state["labels"]))
        gathered.binary = gathered.binary and state["binary"]
    else:
        with pa.OSFile(str(words), "rb") as source, pa.ipc.open_stream(source) as reader:
            if reader.schema != SCHEMA:
                raise ValueError(f"{words.name} holds {reader.schema}")
        if isinstance(gathered, Texts):
            gathered.statistics.doc_count += state["doc_count"]
            gathered.statistics.total_length += state["total_length"]
            gathered.statistics.words.add_run(words)
        else:
            gathered.counts.add_run(words)
    gathered.seen.merge(seen)
