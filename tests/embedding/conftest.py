"""Small worlds of random features, with every kind of input that the kernels know."""

from dataclasses import dataclass

import numpy as np
import pytest

from easyrec.batch import Batch
from easyrec.config.model import GroupConfig, GroupUse, ModelConfig, SequenceEntry
from easyrec.embedding.lookup import TableColumns
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from feature_generator import OutputSpec, Ragged, Table


def output(name, kind="sparse", **changes):
    """An output of a generator."""
    values = {
        "side": "item", "mixed": False, "value_dim": 1, "num_embeddings": None if "dense" in kind else 7,
        "embedding_dim": 4, "embedding_name": name, "pooling": "sum", "trainable": True, "weighted": False,
        "sequence": None, "dense_embedding": None, "config": None,
    }  # fmt: skip
    return OutputSpec(name=name, kind=kind, **{**values, **changes})


class Reads(ModelConfig):
    """A model that reads what the test says."""

    type: str = "reads"
    use: dict[str, GroupUse] = {"deep": GroupUse()}
    encoder: str | None = None

    def uses(self):
        return self.use

    def default_encoder(self):
        return self.encoder


@dataclass
class World:
    """A plan and rows for it."""

    plan: EmbeddingPlan
    table: Table
    outputs: dict[str, OutputSpec]

    @property
    def columns(self):
        return TableColumns(self.table)

    @property
    def batch(self):
        return Batch.of(self.table, outputs=self.outputs)


def _offsets(rng, rows, longest):
    return np.concatenate([[0], np.cumsum(rng.integers(0, longest + 1, rows))]).astype(np.int64)


def ids(rng, spec, rows, jagged=True):
    """Random ids for an output, of several per row where `jagged`."""
    offsets = _offsets(rng, rows, 4) if jagged else None
    count = rows if offsets is None else int(offsets[-1])
    keys = None
    if spec.sequence is not None and rng.random() < 0.5:
        keys = _offsets(rng, count, 3)
        count = int(keys[-1])
    weights = rng.normal(size=count).astype(np.float32) if spec.weighted else None
    # Squared, so that ids repeat.
    values = (rng.random(count) ** 2 * spec.num_embeddings).astype(np.int64)
    return Ragged(values, offsets, weights, keys)


def world(seed, rows=5, dim=4, large=7, **reads):
    """A world of two groups, shared tables and two sequences."""
    rng = np.random.default_rng(seed)
    sizes = {"embedding_dim": dim, "num_embeddings": large}
    specs = [
        output("one", **sizes),
        output("many", embedding_name="one", **sizes),
        output("mean", pooling="mean", **sizes),
        output("weighted", weighted=True, pooling=str(rng.choice(["sum", "mean"])), **sizes),
        output("frozen", trainable=False, **sizes),
        output("number", "dense", embedding_dim=dim, dense_embedding="linear"),
        output("vector", "dense", value_dim=3, embedding_dim=dim, dense_embedding="linear"),
        output("wave", "dense", embedding_dim=dim, dense_embedding="periodic"),
        output("curve", "dense", value_dim=2, embedding_dim=dim, dense_embedding={"type": "mlp", "hidden": 3}),
        output("plain", "dense", embedding_dim=None),
        output("pair", "dense", value_dim=2, embedding_dim=None),
        output("seq__one", "sparse_sequence", sequence="seq", embedding_name="one", pooling="mean", **sizes),
        output("seq__own", "sparse_sequence", sequence="seq", **{**sizes, "embedding_dim": 2}),
        output("seq__vector", "dense_sequence", sequence="seq", value_dim=2, embedding_dim=None),
        output("pooled", "sparse_sequence", sequence="pooled", pooling="mean", **sizes),
    ]
    outputs = {spec.name: spec for spec in specs}
    groups = {
        "deep": GroupConfig(
            features=[
                "one",
                "many",
                "curve",
                "number",
                "mean",
                "plain",
                "weighted",
                "wave",
                "vector",
                "pair",
                "frozen",
            ],
            sequences=[SequenceEntry(sequence="seq"), SequenceEntry(sequence="pooled", encoder="pooling")],
        ),
        "wide": GroupConfig(features=["many", "wave", "number", "plain"]),
    }
    use = {"deep": GroupUse(first_order=True), "wide": GroupUse()}
    plan = plan_embeddings(outputs, Reads(**{"groups": groups, "use": use, "encoder": "din", **reads}))

    ragged = {s.name: ids(rng, s, rows, s.name != "one") for s in specs[:5]}
    ragged["pooled"] = ids(rng, outputs["pooled"], rows)
    first = ids(rng, outputs["seq__one"], rows)
    steps = first.elements
    ragged["seq__one"] = first
    ragged["seq__own"] = Ragged((rng.random(steps) * large).astype(np.int64), first.offsets)
    ragged["seq__vector"] = Ragged(rng.normal(size=(steps, 2)).astype(np.float32), first.offsets)
    dense = rng.normal(size=(rows, 10)).astype(np.float32)
    slices = {"number": slice(0, 1), "vector": slice(1, 4), "plain": slice(4, 5), "pair": slice(5, 7)}
    slices |= {"wave": slice(7, 8), "curve": slice(8, 10)}
    return World(plan, Table(rows, ragged, dense, slices), outputs)


@pytest.fixture(scope="session")
def make_world():
    """A function of (seed, rows, dim) that makes a world."""
    return world
