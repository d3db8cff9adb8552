"""What embeddings that are spread over a graph ask of the data and of the features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from easyrec.config.data import DataConfig
from easyrec.config.model import ModelConfig
from easyrec.errors import Problem
from feature_generator import OutputSpec


def unfit_graph(model: ModelConfig, data: DataConfig, outputs: Mapping[str, OutputSpec]) -> Iterator[Problem]:
    """What stands against a graph of the users and items of training.

    Args:
        model: The `model` section; of a model that spreads no embeddings nothing is asked.
        data: The `data` section.
        outputs: The generator's.
    """
    if model.propagated_layers() is None:
        return
    if data.sampler is None:
        text = f"'{model.type}' takes the rows of training for what users took, and compares that with other items"
        yield Problem(f"{text}\nset sampler: {{type: uniform}}, and items: a catalogue of one row per item", "data")
    groups = model.groups or {}
    user, item = ([f for f in groups[n].features if f in outputs] if n in groups else [] for n in ("user", "item"))
    if len(user) != 1 or len(item) != 1:  # told with the groups
        return
    if item[0] != data.item_id:
        text = f"the nodes of the graph are what '{data.item_id}' tells apart, not '{item[0]}'"
        yield Problem(f"{text}\nlist '{data.item_id}' here, or set data.item_id: {item[0]}", "model.groups.item")
    if len({spec.config.embedding_name or spec.name for spec in (outputs[user[0]], outputs[item[0]])}) == 1:
        text = f"users and items are different nodes, but '{user[0]}' and '{item[0]}' share an embedding_name"
        yield Problem(f"{text}\ngive each its own", "model.groups")
