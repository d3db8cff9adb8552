"""A graph of blocks as one module, and what its blocks are built with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import nn

from easyrec.batch import Embedded
from easyrec.config.family import implementation
from easyrec.config.model import TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.modules.blocks import BLOCKS, BlockConfig, GroupBlockConfig
from easyrec.modules.blocks._block import Block, Form, Reader, Value, joined, run, spread, told
from easyrec.modules.blocks._wiring import Broken, Node, Wiring
from easyrec.modules.named import module_name


class Graph(nn.Module):
    """Blocks in an order in which each comes after what it reads.

    What is wrong with a block goes to `around.problems`; what reads it is then left unchecked, the others are not.

    Args:
        wiring: The blocks and who reads them.
        around: What the blocks are built with.
        inputs: Shapes of the graph's own inputs, by name.

    Attributes:
        forms: Shape of each block's output and of each input; None where it cannot be told.
    """

    def __init__(self, wiring: Wiring, around: Surroundings, inputs: Mapping[str, Form]) -> None:
        super().__init__()
        self.nodes: list[Node] = wiring.nodes
        self.blocks = nn.ModuleDict()
        self.forms: dict[str, Form | None] = dict(inputs)
        for node in self.nodes:
            forms = {k: [self.forms.get(ref) for ref in refs] for k, refs in node.inputs.items()}
            self.forms[node.name] = None
            if any(form is None for given in forms.values() for form in given) or isinstance(node.config, Broken):
                continue
            if any(not forms.get(key) for key in node.config.takes if key not in node.config.optional):
                continue  # told with the names
            try:
                block = around.made(node.config, forms)  # type: ignore[arg-type]
            except ConfigError as error:
                around.problems += [_below(node.path, problem) for problem in error.problems]
                continue
            self.blocks[module_name(node.name)] = block
            self.forms[node.name] = block.shape

    def forward(self, model: Reader, x: Embedded, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """What every block gives, by name."""
        values = dict(inputs)
        for node in self.nodes:
            block = self.blocks[module_name(node.name)]
            assert isinstance(block, Block)
            read = {k: [values[ref] for ref in refs] for k, refs in node.inputs.items()}
            values[node.name] = run(block, model, x, read)
        return values


class Package(nn.Module):
    """A graph with inputs and an output, which several blocks may call.

    Attributes:
        shape: Shape of the output; None where it cannot be told.
    """

    def __init__(
        self, inputs: Sequence[str], wiring: Wiring, output: Sequence[str], around: Surroundings, forms: Sequence[Form]
    ) -> None:
        super().__init__()
        self.inputs, self.output, self.given = tuple(inputs), tuple(output), list(forms)
        self.graph = Graph(wiring, around, dict(zip(inputs, forms, strict=True)))
        shapes = [self.graph.forms.get(name) for name in self.output]
        self.shape: Form | None = None
        if None not in shapes:
            self.shape = shapes[0] if len(shapes) == 1 else spread(shapes)

    def forward(self, model: Reader, x: Embedded, inputs: Sequence[Value]) -> Value:
        """The output, a list where the package names several."""
        values = self.graph(model, x, dict(zip(self.inputs, inputs, strict=True)))
        outputs = [values[name] for name in self.output]
        return outputs[0] if len(outputs) == 1 else spread(outputs)


class Surroundings:
    """What blocks are built with; see `easyrec.modules.blocks._block.Around`.

    Attributes:
        model: Whose groups they read.
        tasks: What is predicted.
        packages: Names of the inputs, wiring and output of each package.
        groups: Groups that may be read; what reads another one is left unchecked.
        built: The packages that are called, by name.
        problems: All that is wrong, by dotted path.
    """

    def __init__(
        self,
        model: Reader,
        tasks: Sequence[TaskConfig],
        packages: Mapping[str, tuple[Sequence[str], Wiring, Sequence[str]]],
        groups: Collection[str],
    ) -> None:
        self.model, self.tasks, self.packages, self.groups = model, tasks, packages, groups
        self.built: dict[str, Package | None] = {}
        self._open: list[str] = []
        self.problems: list[Problem] = []

    def made(self, config: BlockConfig, forms: Mapping[str, Sequence[Form]]) -> Block:
        """The block of a config over inputs of these shapes.

        Raises:
            ConfigError: They do not suit it.
        """
        if isinstance(config, GroupBlockConfig) and config.group not in self.groups:
            raise ConfigError([])  # what is wrong with the group is told already
        given = [joined(takes, forms[k]) if forms.get(k) else None for k, takes in config.takes.items()]
        return implementation(BLOCKS, config.type, Block)(config, self, *given)

    def build(self, config: BlockConfig, *forms: Form | Sequence[Form]) -> Block:
        """A block inside another one; what is wrong with it lies below the key `block`."""
        listed = [form if isinstance(form, list) else [form] for form in forms]
        try:
            return self.made(config, dict(zip(config.takes, listed, strict=False)))  # type: ignore[arg-type]
        except ConfigError as error:
            raise ConfigError([_below("block", problem) for problem in error.problems]) from None

    def package(self, name: str, forms: Sequence[Form], own: bool) -> Package | None:
        """The graph of a package; None where it has problems, which are told already."""
        if name not in self.packages or name in self._open:
            return None  # told with the names
        inputs, wiring, output = self.packages[name]
        if len(inputs) != len(forms):
            listed = ", ".join(inputs) or "none"
            raise ConfigError(f"package '{name}' has {len(inputs)} inputs ({listed}), but is given {len(forms)}")
        if name in self.built and not own:
            known = self.built[name]
            if known is not None and known.given != list(forms):
                first, now = (", ".join(map(told, given)) for given in (known.given, forms))
                raise ConfigError(
                    f"package '{name}' was first called with {first}, here with {now}: those that call it share its "
                    "weights\ngive it inputs of equal shapes, or weights of its own here: own: true"
                )
            return known
        self.built.setdefault(name, None)
        before = len(self.problems)
        self._open.append(name)
        package = Package(inputs, wiring, output, self, forms)
        self._open.pop()
        if package.shape is None or len(self.problems) > before:
            return None
        if not own:
            self.built[name] = package
        return package


def _below(path: str, problem: Problem) -> Problem:
    """A problem of a block at `path`; one that has an absolute place keeps it."""
    if problem.where.startswith("model."):
        return problem
    return Problem(problem.message, f"{path}.{problem.where}" if problem.where else path)
