"""First configs: a commented YAML for any model, over the embedded shop or over the columns of a file."""

from __future__ import annotations

import ast
import importlib.util
from itertools import combinations
from pathlib import Path
from typing import Any

from easyrec.config.model import SAMPLERS, ModelConfig
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.starter.columns import columns_of
from easyrec.starter.counted import lines_of, write_items
from easyrec.starter.families import grouped
from easyrec.starter.groups import group_lines, groups_of
from easyrec.starter.keys import comment, feature_lines, flow, keys_of, listed
from easyrec.starter.rows import Rows
from easyrec.starter.shop import shop
from feature_generator.config import member, members

__all__ = ["grouped", "has_catalogue", "models", "starter", "write_items"]

FAMILY, STATISTICS = "easyrec.models", "easyrec.statistics"
ITEMS = "items.parquet"
LONG, MOST_STEPS = ("sim", "eta", "sdim", "twin"), 10_000
"""Encoders for histories as long as they are; those of others are cut."""
TRAIN = """\
train:
  # Passes over the training rows; `early_stop: {metric: auc, patience: 2}` ends them when the metric no longer rises.
  epochs: 1
  # Of the embedding tables, and of all other weights.
  sparse_optimizer: {type: lazy_adam, lr: 0.005}
  dense_optimizer: {type: adam, lr: 0.002}
"""


def models() -> dict[str, str]:
    """Every model and statistic with the first line of its file, without its name."""
    return {name: _about(one, name) for one in (FAMILY, STATISTICS) for name in members(one)}


def _about(family: str, name: str) -> str:
    spec = importlib.util.find_spec(f"{family}.{name}")
    if spec is not None and spec.origin:  # ours: read, not run
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    else:
        text = member(family, name).__doc__
    return (text or "").strip().partition("\n")[0].removeprefix(f"`{name}`: ").rstrip(".")


def has_catalogue(model: str) -> bool:
    """Whether a first config of a model names a file of items."""
    return model in members(STATISTICS) or (model in members(FAMILY) and _against(member(FAMILY, model).Config))


def starter(model: str, data: str | None = None, labels: list[str] | None = None, items: str = ITEMS) -> str:
    """A config of a model or statistic with every key explained, valid as it is.

    Args:
        model: Its type.
        data: A parquet or csv file whose columns become features; omitted: the embedded shop.
        labels: Its labels; omitted: 0/1 columns that are called like ones.
        items: File of the catalogue, where one is named.

    Raises:
        ConfigError: There is no such model, or the data lack what it needs.
    """
    known = [*members(FAMILY), *members(STATISTICS)]
    if model not in known:
        raise ConfigError(
            [Problem(f"unknown model '{model}'{nearest(model, known)}\nknown: {', '.join(known)}", "--model")]
        )
    head = [
        f"# {model}: {_about(STATISTICS if model in members(STATISTICS) else FAMILY, model)}.",
        "# Written by `easyrec new`; `easyrec check` says what is wrong with it, `easyrec train` trains it.",
        f"name: {'shop' if data is None else Path(data).stem}_{model}",
        "",
    ]
    if model in members(STATISTICS):
        rows = shop() if data is None else columns_of(data, labels, needed=False)
        return "\n".join([*head, *lines_of(member(STATISTICS, model).Config, rows, items)]) + "\n"
    config: type[ModelConfig] = member(FAMILY, model).Config
    rows = shop() if data is None else columns_of(data, labels)
    uses = _uses(config)
    tasks, against = _tasks(config, rows), _against(config)
    wanted = [str(task["label"]) for task in tasks] or rows.labels[:1]
    needed = [name for name in rows.labels if name in wanted or any(name in str(t.get("mask", "")) for t in tasks)]
    groups = groups_of(model, uses, rows)
    if _encoder(config) in LONG:
        for feature in rows.features:
            if feature["name"] in rows.longest:
                steps = min(max(rows.longest[feature["name"]], feature["sequence_length"]), MOST_STEPS)
                feature["sequence_length"] = steps
    alike = any(uses[name] == uses[other] for name, other in combinations(groups, 2))
    written = {"type": model, "groups": groups, "tasks": tasks or None}
    dim = 4 if any(use.pairs for use in uses.values()) else 16
    lines = [
        *head,
        "data:",
        *rows.sources,
        *(_catalogue(config, items, groups["item"][0]) if against else []),
        "  # Columns to learn from, those of masks included.",
        f"  labels: {flow([] if against else needed)}",
        "  # Columns that predictions keep and metrics may group by.",
        f"  reserved: {flow(rows.reserved)}",
        f"  batch_size: {rows.batch_size}",
        "",
        *(line for text in rows.about for line in comment(text, 0)),
        "features:",
        *(line for feature in rows.features for line in feature_lines(feature)),
        "",
        "model:",
        f"  type: {model}",
        "  # Features that are read together.",
        *comment(f"Groups of one kind take a share each: docs/models/{model}.md says what they are for." * alike, 2),
        "  groups:",
        *(
            line
            for name, group in groups.items()
            for line in group_lines(name, group, None if config.searches else _encoder(config))
        ),
        "  # What is predicted. Omitted: one binary task on the first label, called like it.",
        *(listed("tasks", tasks, 2) if tasks else [f"  # tasks: {flow([{'name': needed[0], 'label': needed[0]}])}"]),
        *keys_of(config, {"embedding_dim": dim, **config.example}, 2, written),
        "",
        TRAIN,
        *(["eval: {retrieval: {}}"] if against else ["eval:", f"  metrics: {flow(_metrics(tasks, rows))}"]),
    ]
    return "\n".join(lines) + "\n"


def _catalogue(config: type[ModelConfig], items: str, key: str) -> list[str]:
    """Keys of training against a catalogue."""
    return [
        "  # The items that can be found, one row each, and what training reads of them.",
        f"  items: {flow({'type': 'parquet', 'path': items})}",
        f"  sampler: {{type: {SAMPLERS[config.searches or 'codes']}}}",
        f"  item_id: {key}",
    ]


def _uses(config: type[ModelConfig]) -> Any:
    """The groups that a first config of the model has."""
    return _first(config).uses()


def _first(config: type[ModelConfig]) -> ModelConfig:
    """The config of a model whose keys without a default have the values of an example."""
    kind = config.model_fields["type"].default
    if config.example:  # what it reads depends on its keys
        return config.model_validate({"type": kind, **config.example})
    return config.model_construct(type=kind, groups=None)


def _against(config: type[ModelConfig]) -> bool:
    """Whether the model learns against a catalogue alone."""
    return config.searches is not None or _first(config).propagated_layers() is not None


def _encoder(config: type[ModelConfig]) -> str:
    """The encoder of sequences that name none."""
    return _first(config).default_encoder() or "pooling"


def _tasks(config: type[ModelConfig], rows: Rows) -> list[dict[str, Any]]:
    """The tasks that the model is for, over the labels that there are: `click` and `buy` are the first and the second."""
    named = {"click": rows.labels[0], "buy": rows.labels[1] if len(rows.labels) > 1 else rows.labels[0]}
    tasks = [dict(task) for task in config.example_tasks]
    wanted = list(dict.fromkeys(str(task["label"]) for task in tasks))
    if len(wanted) > len(rows.labels):
        kind = config.model_fields["type"].default
        text = f"'{kind}' has tasks of {len(wanted)} labels, such as {' and '.join(wanted)}, but here is {flow(rows.labels)}"
        raise ConfigError(
            [Problem(f"{text}\nname {len(wanted)} columns by --labels, the most frequent event first", "--labels")]
        )
    for task in tasks:
        task["label"] = named.get(task["label"], task["label"])
        if "mask" in task:
            for old, new in named.items():
                task["mask"] = task["mask"].replace(old, new)
    return tasks


def _metrics(tasks: list[dict[str, Any]], rows: Rows) -> list[Any]:
    kinds = {task.get("type", "binary") for task in tasks} or {"binary"}
    grouped: list[Any] = [{"type": "gauc", "by": rows.user}] if rows.user else []
    found: list[Any] = ["auc", *grouped, "logloss"] if "binary" in kinds else []
    found += ["accuracy"] if "multiclass" in kinds else []
    return found + (["mae", "rmse"] if "regression" in kinds else [])
