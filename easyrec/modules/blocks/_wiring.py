"""The names of a graph: which block reads which, in an order in which each comes after what it reads. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from easyrec.config.model import NAME
from easyrec.errors import Problem, nearest
from easyrec.modules.blocks import BlockConfig, LayerConfig, parts


@dataclass(frozen=True)
class Node:
    """A block in its place.

    Attributes:
        name: What others call it; that of a block written in place is made of its reader's.
        config: Its config.
        path: Its dotted path in the config.
        inputs: Names of the blocks, or of the graph's inputs, that each key reads.
        inline: Whether it is written in place.
    """

    name: str
    config: BlockConfig
    path: str
    inputs: Mapping[str, tuple[str, ...]]
    inline: bool = False


@dataclass
class Wiring:
    """What `wire` found.

    Attributes:
        nodes: The blocks, each after what it reads.
        reads: Names that each reader names, by its dotted path.
        problems: All that is wrong with the names.
    """

    nodes: list[Node] = field(default_factory=list)
    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def wire(
    blocks: Sequence[BlockConfig], path: str, readers: Mapping[str, tuple[str, Any]], inputs: Sequence[str] = ()
) -> Wiring:
    """Resolve the names of a graph.

    Args:
        blocks: Its blocks, in the order of the config.
        path: Dotted path of their list.
        readers: What reads blocks and is none, by dotted path: a name for it, and the inputs that it names.
        inputs: Names that stand for the graph's own inputs.
    """
    found = Wiring()
    nodes: list[Node] = []
    names = set(inputs)
    nameless: set[str] = set()
    for index, block in enumerate(blocks):
        where = f"{path}.{index}"
        name = block.name
        if name is None:
            found.problems.append(Problem("needs a 'name', by which others read it", where))
            name = f"_{index}"
            nameless.add(name)
        elif not NAME.match(name) or "__" in name:
            text = f"must be a plain name of letters, digits and single '_', but is '{name}'"
            found.problems.append(Problem(text, f"{where}.name"))
        elif name in names:
            found.problems.append(Problem(f"the name '{name}' is given twice", f"{where}.name"))
            name = f"_{index}"
            nameless.add(name)
        names.add(name)
        nodes += _node(name, block, where, found.problems)
    for where, (name, value) in readers.items():
        wired, refs = _inputs(name, value, where, found.problems)
        nodes += wired
        found.reads[where] = refs
    known = [*inputs, *(node.name for node in nodes if not node.inline and node.name not in nameless)]
    _unknown(nodes, found, known, {node.name for node in nodes} | set(inputs))
    found.nodes = _ordered(nodes, found.problems)
    _unused([node for node in nodes if node.name not in nameless], nodes, found, inputs, path)
    return found


def _node(name: str, block: BlockConfig, path: str, problems: list[Problem], inline: bool = False) -> Iterator[Node]:
    """The block, after those that are written in place of its inputs."""
    inputs: dict[str, tuple[str, ...]] = {}
    for key in block.takes:
        wired, refs = _inputs(f"{name}__{key}", getattr(block, key), f"{path}.{key}", problems)
        yield from wired
        inputs[key] = refs
        if not refs and key not in block.optional:
            text = f"'{block.type}' needs '{key}', what it reads\ngive a block's name, a block written in place, or a list of these"
            problems.append(Problem(text, path))
    yield Node(name, block, path, inputs, inline)


def _inputs(name: str, value: Any, path: str, problems: list[Problem]) -> tuple[list[Node], tuple[str, ...]]:
    """The blocks that are written in place of a key's inputs, and the names of all that it reads."""
    nodes: list[Node] = []
    refs: list[str] = []
    for suffix, one in parts(value):
        if isinstance(one, str):
            refs.append(one)
            continue
        own = name + suffix.replace(".", "_")
        if one.name is not None:
            problems.append(Problem("a block written in place has no name: nobody else can read it", path + suffix))
        nodes += _node(own, one, path + suffix, problems, inline=True)
        refs.append(own)
    return nodes, tuple(refs)


def _places(nodes: Sequence[Node], reads: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Every name that is read, with the dotted path of the key that names it."""
    for node in nodes:
        for key, refs in node.inputs.items():
            listed = isinstance(getattr(node.config, key), list)
            for index, ref in enumerate(refs):
                yield ref, f"{node.path}.{key}" + (f".{index}" if listed else "")
    for where, refs in reads.items():
        for ref in refs:
            yield ref, where


def _unknown(nodes: Sequence[Node], found: Wiring, known: Sequence[str], names: set[str]) -> None:
    listed = ", ".join(known) or "none"
    for ref, where in _places(nodes, found.reads):
        if ref not in names:
            hint = nearest(ref, known)
            found.problems.append(Problem(f"no block is called '{ref}'{hint}\nknown: {listed}", where))


def _ordered(nodes: Sequence[Node], problems: list[Problem]) -> list[Node]:
    """The nodes in an order in which each comes after what it reads; those of a circle are left out."""
    by_name = {node.name: node for node in nodes}
    ordered: list[Node] = []
    state: dict[str, str] = {}

    def visit(name: str, chain: tuple[str, ...]) -> bool:
        if name not in by_name:
            return True  # an input of the graph, or unknown
        if state.get(name) == "open":
            circle = [n for n in chain[chain.index(name) :] if not by_name[n].inline]
            text = f"blocks read each other in a circle: {' -> '.join([*circle, circle[0]])}"
            text += "\nlet one of them read a group or an earlier block; the same layer several times is repeat"
            problems.append(Problem(text, by_name[circle[0]].path))
            state[name] = "bad"
        if name in state:
            return state[name] == "done"
        state[name] = "open"
        node = by_name[name]
        reads = [] if isinstance(node.config, Broken) else [ref for refs in node.inputs.values() for ref in refs]
        visited = [visit(ref, (*chain, name)) for ref in reads]  # all of them, for all circles
        if all(visited) and state[name] == "open":
            state[name] = "done"
            ordered.append(node)
        else:
            state[name] = "bad"
        return state[name] == "done"

    for node in nodes:
        visit(node.name, ())
    return ordered


def _unused(blamed: Sequence[Node], nodes: Sequence[Node], found: Wiring, inputs: Sequence[str], path: str) -> None:
    """Blocks that reach no reader; `blamed` are those to be told of."""
    by_name = {node.name: node for node in nodes}
    reached: set[str] = set()
    waiting = [ref for refs in found.reads.values() for ref in refs]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            node = by_name.get(name)
            waiting += [ref for refs in node.inputs.values() for ref in refs] if node else []
    for node in blamed:
        if node.name not in reached and not node.inline:
            what = "reaches no head" if not inputs and path == "model.blocks" else "does not reach the output"
            text = f"'{node.name}' {what}: name it as an input, or leave it out"
            found.problems.append(Problem(text, node.path))
    owner = path.rpartition(".")[0]
    for index, name in enumerate(inputs):
        if name not in reached:
            found.problems.append(Problem(f"the input '{name}' does not reach the output", f"{owner}.inputs.{index}"))


def every(blocks: Sequence[tuple[str, BlockConfig]]) -> Iterator[tuple[str, BlockConfig]]:
    """All blocks below these: written in place of inputs, and inside others; each with its dotted path."""
    for path, block in blocks:
        yield path, block
        below: list[tuple[str, BlockConfig]] = [(f"{path}.{key}", one) for key, one in block.inner()]
        for key in block.takes:
            written = parts(getattr(block, key))
            below += [(f"{path}.{key}{suffix}", one) for suffix, one in written if isinstance(one, BlockConfig)]
        yield from every(below)


def stand_in(raw: Any) -> BlockConfig:
    """A block whose own keys are broken, as far as others are concerned: its name, and what it reads."""
    keys = raw if isinstance(raw, Mapping) else {}
    name, value = keys.get("name"), keys.get("input")
    names = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return Broken(type="broken", name=name if isinstance(name, str) else None, input=names)


class Broken(LayerConfig):
    """See `stand_in`."""

    optional: ClassVar[frozenset[str]] = frozenset({"input"})
