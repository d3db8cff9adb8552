"""The picture of a composed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from easyrec.embedding.spec import EmbeddingPlan
from easyrec.layout import GroupLayout
from easyrec.models._boxes import Box, Kind, Panel, Picture
from easyrec.models._composed_head import ComposedHead
from easyrec.models._picture import group_box, weights
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Block, told
from easyrec.modules.blocks._graph import Graph, Package
from easyrec.modules.blocks._wiring import Node
from easyrec.modules.blocks.package import Config as PackageBlock
from easyrec.modules.named import module_name


def composed_picture(
    layouts: Mapping[str, GroupLayout],
    plan: EmbeddingPlan,
    graph: Graph,
    packages: Mapping[str, Package],
    heads: Sequence[ComposedHead],
) -> Picture:
    """Groups, blocks and heads; then each package by itself."""
    boxes = [*_groups(graph, layouts, plan), *_boxes(graph)]
    for number, head in enumerate(heads):
        read = tuple(name for names in head.reads.values() for name in names)
        boxes.append(Box(f"head {number}", ", ".join(head.tasks), "head", ("head", weights(head)), read))
    panels = [Panel("", tuple(boxes))]
    for name, package in packages.items():
        given = zip(package.inputs, package.given, strict=True)
        inside = [Box(one, one, "group", ("input", told(form))) for one, form in given]
        inside += [*_groups(package.graph, layouts, plan), *_boxes(package.graph)]
        inside.append(Box("output", "output", "head", (told(package.shape or ()),), package.output))
        panels.append(Panel(f"package {name}, {weights(package) or 'without weights'}", tuple(inside)))
    return Picture(panels)


def _groups(graph: Graph, layouts: Mapping[str, GroupLayout], plan: EmbeddingPlan) -> list[Box]:
    """The groups that a graph's blocks read."""
    read = {node.config.group for node in graph.nodes if isinstance(node.config, GroupBlockConfig)}
    return [group_box(layout, plan) for name, layout in layouts.items() if name in read]


def _boxes(graph: Graph) -> list[Box]:
    """The blocks of a graph."""
    found = []
    for node in graph.nodes:
        block, config = graph.blocks[module_name(node.name)], node.config
        assert isinstance(block, Block)
        read = tuple(ref for refs in node.inputs.values() for ref in refs)
        if isinstance(config, GroupBlockConfig):
            read = (f"group:{config.group}",)
        kind: Kind = "package" if isinstance(config, PackageBlock) else "block"
        title = config.type if node.inline else node.name
        lines = ["" if _what(node) == title else _what(node), told(block.shape), weights(block)]
        found.append(Box(node.name, title, kind, tuple(line for line in lines if line), read))
    return found


def _what(node: Node) -> str:
    """A block's type, with what it holds."""
    config = node.config
    if isinstance(config, PackageBlock):
        return f"package {config.package}"
    times = getattr(config, "times", None)
    inner = [f"{times} x {one.type}" if times else f"of {one.type}" for _, one in config.inner()]
    return " ".join([config.type, *inner])
