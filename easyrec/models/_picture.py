"""What a model looks like from outside: boxes and who reads whom, for `easyrec check --graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.layout import GroupLayout
from easyrec.models._boxes import Box, Panel, Picture
from easyrec.models._model import Head, Model, encoder_name, of_groups

NUMBERS = "numbers of "


def picture(model: Model, plan: EmbeddingPlan) -> Picture:
    """The picture of any model: groups, the modules that it is made of, tasks. A model may draw itself better.

    Args:
        model: The model.
        plan: Its embedding plan, for the sizes of tables.
    """
    drawn = getattr(model, "picture", None)
    if drawn is not None:
        made: Picture = drawn(plan)
        return made
    groups = [group_box(layout, plan) for layout in model.layouts.values()]
    parts = _parts(model)
    shapes = _shapes(model, [module for _, module, _ in parts])
    encoded = [name for name, _, group in parts if group is not None and not name.startswith(NUMBERS)]
    boxes, read = list(groups), [*(box.id for box in groups), *encoded]
    head = next((name for name, module, _ in parts if isinstance(module, Head)), None)
    middle = [(name, module, group) for name, module, group in parts if name != head]
    for name, module, group in middle:
        form = shapes.get(id(module), "")
        lines = [type(module).__name__, form, weights(module)]
        own = tuple(read) if group is None else (f"group:{group}",)
        boxes.append(Box(name, name.rpartition("__")[2], "block", tuple(line for line in lines if line), own))
    last = tuple(name for name, _, _ in middle if name not in encoded) or tuple(read)
    if head is not None:
        boxes.append(Box(head, head, "block", ("Head", weights(model.get_submodule(head))), last))
        last = (head,)
    boxes += [Box(f"task:{task.name}", task.name, "head", (task.type,), last) for task in model.tasks]
    return Picture([Panel("", tuple(boxes))])


def group_box(layout: GroupLayout, plan: EmbeddingPlan) -> Box:
    """The box of a feature group."""
    lines: list[str] = []
    dims = sorted({span.dim for span in layout.fields if span.dim})
    if layout.fields:
        fields = f"{len(layout.fields)} field{'s' * (len(layout.fields) > 1)}"
        lines.append(fields + (f" of {dims[0]}" if len(dims) == 1 else ""))
    if layout.dense:
        lines.append(f"{layout.dense_width} number{'s' * (layout.dense_width > 1)}")
    lines += [f"{sequence.name}, {sequence.dim} wide" for sequence in layout.sequences]
    group = plan.groups[layout.name]
    bags = [*group.fields, *group.first, *(bag for bags in group.sequences for bag in bags)]
    tables = {bag.table for bag in bags}
    total = sum(table.parameters for table in plan.tables if table.name in tables)
    lines += [f"{total:,} weights in tables"] if total else []
    names = [span.name for span in (*layout.fields, *layout.dense)] + [sequence.name for sequence in layout.sequences]
    return Box(f"group:{layout.name}", layout.name, "group", tuple(lines), note=", ".join(names))


def weights(module: nn.Module) -> str:
    """How many weights a module has, in words; empty for none."""
    number = sum(p.numel() for p in module.parameters())
    return f"{number:,} weight{'s' * (number != 1)}" if number else ""


def _parts(model: Model) -> list[tuple[str, nn.Module, str | None]]:
    """The modules that a model is made of, and the one group that they read where it is known."""
    found: list[tuple[str, nn.Module, str | None]] = []
    for name, module in model.named_children():
        if name == "encoders":
            of = {
                encoder_name(group, s.name): group for group, layout in model.layouts.items() for s in layout.sequences
            }
            found += [(key, encoder, of[key]) for key, encoder in module.named_children()]
        elif isinstance(module, nn.ModuleDict) and name in ("numeric", "feature_wise"):
            for group, layers in of_groups(module, model.layouts):
                found += [
                    (f"{name}_{group}_{key}__{one.config.type}", one, group) for key, one in layers.named_children()
                ]
        elif isinstance(module, nn.ModuleDict) and name == "dense_weights":
            found += [(f"{NUMBERS}{group}", layer, group) for group, layer in of_groups(module, model.layouts)]
        else:
            found.append((name, module, None))
    return found


def _shapes(model: Model, modules: Sequence[nn.Module]) -> dict[int, str]:
    """The shape that each module gives, found by scoring two rows."""
    found: dict[int, str] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() and output.shape[0] == 2:
            found[id(module)] = "(" + ", ".join(["B", *map(str, output.shape[1:])]) + ")"

    hooks = [module.register_forward_hook(note) for module in modules]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(Embedded(example(model.layouts), model.layouts))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found


def example(layouts: Mapping[str, GroupLayout]) -> dict[str, Tensor]:
    """Two rows of zeros, with one step in each sequence."""
    tensors: dict[str, Tensor] = {}
    for name, layout in layouts.items():
        widths = {"emb": layout.width, "first": layout.num_fields, "dense": layout.dense_width}
        kinds = [key.partition(":")[0] for key in layout.keys()]  # noqa: SIM118 (not a dict)
        tensors |= {f"{kind}:{name}": torch.zeros(2, widths[kind]) for kind in kinds if kind in widths}
        for sequence in layout.sequences:
            key = f"{name}/{sequence.name}"
            tensors[f"seq:{key}"] = torch.zeros(2, sequence.dim)
            tensors[f"rows:{key}"], tensors[f"offsets:{key}"] = torch.arange(2), torch.arange(3)
    return tensors
