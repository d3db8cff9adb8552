"""A trained model becomes a bundle: every part written, and the proof that they belong together."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor, nn

from easyrec.batch import Batch, as_tensor
from easyrec.errors import DataError, distribution, version
from easyrec.export import profile as profiles
from easyrec.export.bundle import write_bundle
from easyrec.export.choice import Candidates
from easyrec.export.gate import Gate, HeldOut
from easyrec.export.manifest import InputColumn, Manifest, OutputColumn, SearchEntry, Signature, Warmup
from easyrec.export.program import export_program, to_calls
from easyrec.export.scoring import Scoring
from easyrec.export.warmup import FOLDER, WarmupRows, feature_digests
from easyrec.finite import finite
from easyrec.modules.compress._composition import Composition
from easyrec.modules.named import module_name
from feature_generator.incoming import record

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from easyrec.config.model import TaskConfig
    from easyrec.embedding.served import ServedTables
    from feature_generator import FeatureGenerator, OutputSpec

LIBRARIES = ("torch", "numpy", "pyarrow", "pydantic", "safetensors")


class Tables(Protocol):
    """Trained tables, as `EmbeddingCollection` holds them."""

    @property
    def served(self) -> ServedTables:
        """The tables as they are served."""
        ...


class Trained(Protocol):
    """A trained model, as `easyrec.train.scorer.Scorer` is one."""

    @property
    def model(self) -> nn.Module:
        """Gives logits by name."""
        ...

    @property
    def collection(self) -> Tables:
        """Its tables."""
        ...

    @property
    def scoring(self) -> Scoring:
        """What comes after predictions."""
        ...

    def link(self, logits: Mapping[str, Tensor], /) -> Mapping[str, Tensor]:
        """Predictions by task from the model's logits."""
        ...

    def uncalibrated(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions by task, before calibration."""
        ...


def export_bundle(
    experiment: Experiment,
    trained: Trained,
    rows: Any,
    directory: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    generator: FeatureGenerator | None = None,
    outputs: Callable[[Mapping[str, np.ndarray]], list[OutputColumn]] | None = None,
    tower_of: str | None = None,
    search: tuple[SearchEntry, pa.Table] | None = None,
    held_out: HeldOut | None = None,
    learned: HeldOut | None = None,
) -> Path:
    """Write the bundle of a trained model, whole or not at all.

    Args:
        experiment: What was trained.
        trained: Its weights, averages in place where there are any.
        rows: Raw rows, as the generator takes them; those without a bad value serve for warming up, at most
            `export.warmup_rows`.
        directory: Where the bundle goes.
        metrics: Of training, for the manifest.
        overwrite: Replace a bundle that is there.
        generator: Makes what the model reads; default: the experiment's.
        outputs: What the bundle answers, told by predictions; default: the experiment's tasks.
        tower_of: Digest of the model of which this is a tower.
        search: How items are found, and the items, of a model that searches for them.
        held_out: Gives rows with labels that lossy precisions are measured on; without them those of warming up are all.
        learned: Gives the rows that were learned, by which ids are counted where tables are compressed.

    Raises:
        DataError: No row is without a bad value.
        RunError: The model cannot be captured, or does not score as it was captured, or the disk refuses.
    """
    generator, tables = generator or experiment.generator, without_idle(trained.model, trained.collection.served)
    given = _given(generator, rows)
    warmup = _warmup(generator, trained, given, experiment.export.warmup_rows)
    program = to_calls(export_program(trained.model, tables.plan.layouts, trained.link))
    with write_bundle(directory, overwrite=overwrite) as draft:
        generator.save(draft.path / "generator")
        gate = Gate(experiment, trained, held_out)
        candidates = Candidates(experiment.export, draft, generator, warmup, gate, learned)
        chosen = candidates.write(program, tables, requests=search is None and tower_of is None)
        if candidates.compressed:
            warmup = replace(warmup, predictions=candidates.trained, scores=trained.scoring(candidates.trained))
        warmup.save(draft.folder(FOLDER))
        if search is None and tower_of is None:
            profile = _profile(generator, trained, given, held_out)
            (draft.path / profiles.FILE).write_bytes(profile.text())
        if search is not None:
            pq.write_table(search[1], draft.path / search[0].items)
        draft.manifest = Manifest(
            name=experiment.name,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            config=experiment.resolved(),
            plugins=experiment.plugins(),
            tower_of=tower_of,
            fingerprint=generator.fingerprint,
            features=[_feature(spec) for spec in generator.outputs.values()],
            embeddings=tables.plan.to_json(),
            signature=_signature(
                generator, warmup.rows, (outputs or _outputs_of(experiment.tasks))(warmup.predictions)
            ),
            scoring=list(trained.scoring.tasks),
            runtimes=chosen.runtimes,
            runtime=chosen.runtime,
            precision=chosen.runtimes[chosen.runtime].precision,
            tables=chosen.tables,
            tried=chosen.tried,
            request=experiment.export.request.model_dump(),
            warmup=Warmup(rows=warmup.rows.num_rows),
            split=chosen.split,
            search=None if search is None else search[0],
            metrics=finite(metrics or {}),
            versions=versions(),
        )
    return Path(directory)


def without_idle(model: nn.Module, tables: ServedTables) -> ServedTables:
    """The tables with zeros in the rows of which the model makes zeros whatever they hold, so that they can be left out."""
    made = {path.rpartition(".")[2]: part for path, part in model.named_modules() if isinstance(part, Composition)}
    weights = dict(tables.weights)
    for layout in tables.plan.layouts.values():
        for one in (*layout.composed, *(c for s in layout.sequences for c in s.composed)):
            if one.count == 1:
                table = weights[one.table]
                idle = made[module_name(one.table)].idle(as_tensor(table))
                if idle.any():
                    weights[one.table] = np.where(idle.numpy()[:, None], np.float32(0), table)
    return replace(tables, weights=weights)


def _given(generator: FeatureGenerator, rows: Any) -> pa.RecordBatch:
    batch = record(rows, list(generator.inputs))
    if isinstance(batch, pa.Table):
        batch = pa.RecordBatch.from_struct_array(batch.to_struct_array().combine_chunks())
    return batch


def _warmup(generator: FeatureGenerator, trained: Trained, batch: pa.RecordBatch, most: int) -> WarmupRows:
    kept = generator.transform(batch, bad_rows="skip").kept
    chosen = batch if kept is None else batch.take(pa.array(kept))
    chosen = chosen.slice(0, most)
    if not chosen.num_rows:
        raise DataError("there is no row without a bad value to keep in the bundle as proof of its scores")
    chosen = pa.RecordBatch.from_pylist(chosen.to_pylist(), chosen.schema)  # a copy without the rows left out
    table = generator.transform(chosen)
    predictions = trained.uncalibrated(Batch.of(table, outputs=generator.outputs))
    return WarmupRows(chosen, predictions, trained.scoring(predictions), feature_digests(table))


def _profile(
    generator: FeatureGenerator, trained: Trained, rows: pa.RecordBatch, held_out: HeldOut | None
) -> profiles.Profile:
    """What the model sees and says: of rows that it did not learn from, or where there are none, of those given."""
    try:
        nothing = pa.RecordBatch.from_arrays([pa.nulls(1, field.type) for field in rows.schema], rows.schema.names)
        empty = generator.transform(nothing, bad_rows="default")
    except DataError:  # e.g. a feature that takes no nulls
        empty = None
    builder = profiles.ProfileBuilder(generator.outputs, empty)
    for batch in held_out() if held_out is not None else ():
        builder.add(batch.table(), trained.scoring(trained.uncalibrated(batch)))
        if builder.full:
            break
    if not builder.rows:
        table = generator.transform(rows.slice(0, profiles.ROWS), bad_rows="skip")
        builder.add(table, trained.scoring(trained.uncalibrated(Batch.of(table, outputs=generator.outputs))))
    return builder.build()


def _feature(spec: OutputSpec) -> dict[str, Any]:
    """What the manifest says of one output of the generator."""
    names = (
        "name",
        "kind",
        "side",
        "mixed",
        "value_dim",
        "num_embeddings",
        "embedding_dim",
        "embedding_name",
        "pooling",
    )
    plain: dict[str, Any] = {name: getattr(spec, name) for name in names}
    return {**plain, "sequence": spec.sequence, "type": spec.config.type}


def _outputs_of(tasks: tuple[TaskConfig, ...]) -> Callable[[Any], list[OutputColumn]]:
    """What a bundle answers for tasks."""
    return lambda _: [
        OutputColumn(
            name=task.name,
            shape=[task.num_classes] if task.num_classes else [],
            meaning="probabilities" if task.num_classes else "probability" if task.type == "binary" else "value",
        )
        for task in tasks
    ]


def _signature(generator: FeatureGenerator, rows: pa.RecordBatch, outputs: list[OutputColumn]) -> Signature:
    inputs: list[Any] = [
        InputColumn(name=name, side=side, type=str(rows.schema.field(name).type))
        for name, side in generator.inputs.items()
    ]
    return Signature(inputs=inputs, outputs=outputs)


def versions() -> dict[str, str]:
    """Of the libraries that write a bundle."""
    own = {distribution(): version(), "python": platform.python_version()}
    return own | {name: library_version(name) for name in LIBRARIES}
