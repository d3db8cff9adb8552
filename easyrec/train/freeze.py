"""Parameters and tables that do not learn."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from easyrec.config.init_from import matches
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError, Problem, nearest


def frozen_plan(plan: EmbeddingPlan, patterns: list[str]) -> EmbeddingPlan:
    """The plan whose tables of these names keep their rows.

    Raises:
        ConfigError: One is dynamic: its rows are given while it learns.
    """
    problems = [
        Problem(f"'{table.name}' is dynamic: its rows are given while it learns\nleave it out", "train.freeze")
        for table in plan.tables
        if table.keys is not None and matches(table.name, patterns)
    ]
    if problems:
        raise ConfigError(problems)
    tables = tuple(replace(t, trainable=t.trainable and not matches(t.name, patterns)) for t in plan.tables)
    return replace(plan, tables=tables)


def freeze(model: nn.Module, plan: EmbeddingPlan, patterns: list[str]) -> None:
    """Let the parameters of these names keep their values; running means of batch norm follow the rows all the same.

    Raises:
        ConfigError: A pattern is the name of no parameter and of no table.
    """
    parameters = dict(model.named_parameters())
    names = [*parameters, *(table.name for table in plan.tables)]
    problems = [
        Problem(f"'{pattern}' is no parameter or table{nearest(pattern, names)}", f"train.freeze.{index}")
        for index, pattern in enumerate(patterns)
        if not any(matches(name, [pattern]) for name in names)
    ]
    if problems:
        raise ConfigError(problems)
    for name, parameter in parameters.items():
        if matches(name, patterns):
            parameter.requires_grad_(False)
