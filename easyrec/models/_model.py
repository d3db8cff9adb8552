"""The base of all models: what `forward` may ask of its input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import Composed, GroupLayout, SequenceLayout, Span
from easyrec.modules import compress, feature_wise, gates, numeric
from easyrec.modules import sequence as encoders
from easyrec.modules.mlp import in_float32, linear
from easyrec.modules.named import module_name
from easyrec.modules.numeric._embedding import NumericEmbedding
from easyrec.modules.sequence._encoder import SequenceEncoder
from feature_generator.config import member


class Model(nn.Module):
    """From an `Embedded` to ``{"logit": (B,)}``; with several tasks to ``{task: (B,)}``; (B, C) for C classes.

    A model defines `forward`, in the words of the accessors below. Each takes the name of a group. While it trains it
    may give further tensors beside the logits, for its own `auxiliary`.

    What stands between the lookup and the model - modules that make fields of numbers, gates on all inputs, and the layers
    that the config puts on a group's fields - has run before `forward`: models see fields like any others. A method that is called
    beside `forward` calls `prepared` first.

    Args:
        config: The model's config.
        layouts: The groups that `config.uses` asks for, resolved.
        tasks: What is predicted.

    Raises:
        ConfigError: The groups do not suit the model: all that is wrong with them, by dotted path.
    """

    def __init__(self, config: Any, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__()
        self.config, self.tasks = config, tuple(tasks)
        self.layouts = {name: layout.joined() for name, layout in layouts.items()}
        self.looked_up = dict(layouts)
        self.compositions = nn.ModuleDict(_compositions(layouts))
        self.numeric = nn.ModuleDict()
        self.feature_wise = nn.ModuleDict()
        self.encoders = nn.ModuleDict()
        self.dense_weights = nn.ModuleDict()
        problems: list[Problem] = []
        for name, use in config.uses().items():
            if name not in self.layouts:  # optional, and not given
                continue
            layout = self.layouts[name]
            if layouts[name].numeric:
                self.numeric[module_name(name)] = _numeric(layouts[name], config.embedding_init)
            layers = _listed(config, name).feature_wise
            if layers and use.fields and layout.fields:
                dims = [span.dim for span in layout.fields]
                built = [feature_wise.build(layer, dims) for layer in layers]
                self.feature_wise[module_name(name)] = nn.Sequential(*built)
            elif layers and name in (config.groups or {}):
                text = f"'{config.type}' reads no fields in '{name}' that 'feature_wise' could weigh"
                problems.append(Problem(text, f"model.groups.{name}.feature_wise"))
            for sequence in layout.sequences:
                chosen = sequence.encoder or _default(config)
                try:
                    self.encoders[encoder_name(name, sequence.name)] = encoders.build(chosen, sequence)
                except ConfigError as error:
                    problems += [Problem(p.message, config.place_of(name, sequence.name)) for p in error.problems]
            if use.first_order and layout.dense:
                self.dense_weights[module_name(name)] = linear(layout.dense_width, 1, bias=False)
            if use.equal_dims:
                problems += self._unequal(layout)
            if not use.fields:
                problems += self._unread(name)
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        gated = {name: layout for name, layout in self.layouts.items() if not config.uses()[name].one_hot}
        self.feature_gates = None if config.feature_gates is None else gates.build(config.feature_gates, gated)
        if self._prepares:
            self.register_forward_pre_hook(_prepare)

    def _unequal(self, layout: GroupLayout) -> list[Problem]:
        """What stands against crossing the fields of a group."""
        spans = [*layout.fields, *(child for s in layout.sequences for child in s.children)]
        where = self.config.place_of(layout.name)
        if not spans:
            text = f"'{self.config.type}' needs fields in '{layout.name}', but it has numeric inputs alone"
            return [Problem(f"{text}\ngive one of them an embedding_dim, or boundaries", where)]
        unequal = list(self.config.unequal(layout.name, [(span.name, span.dim) for span in spans]))
        return unequal or [
            Problem(
                f"'{self.config.type}' takes '{s.name}' as fields of dim {spans[0].dim}, but its encoder gives "
                f"{self.interest_width(layout.name, s)} numbers: make that a multiple of {spans[0].dim}",
                self.config.place_of(layout.name, s.name),
            )
            for s in layout.sequences
            if encoder_name(layout.name, s.name) in self.encoders and self.interest_width(layout.name, s) % spans[0].dim
        ]

    def _unread(self, name: str) -> list[Problem]:
        """Sequences of a group without embeddings whose steps would reach nothing."""
        group, problems = (self.config.groups or {}).get(name), []
        for entry in group.sequences if group else ():
            chosen = entry.encoder or _default(self.config)
            if chosen.lookup_pooling is None:
                text = f"'{self.config.type}' reads no embeddings in '{name}', so '{chosen.type}' has nothing to encode"
                text += "\ntake encoder: {type: pooling} without 'product'"
                problems.append(Problem(text, self.config.place_of(name, entry.key)))
        return problems

    # ------------------------------------------------------------------------------------ sizes, for __init__

    def width(self, group: str = "deep") -> int:
        """Width of `flat`."""
        layout = self.layouts[group]
        return layout.width + layout.dense_width + sum(self.interest_width(group, s) for s in layout.sequences)

    def num_fields(self, group: str = "deep") -> int:
        """F of `fields`."""
        layout = self.layouts[group]
        return (self.width(group) - layout.dense_width) // self.dim(group)

    def num_pairs(self, group: str = "deep") -> int:
        """F (F - 1) / 2 of `fields`.

        Raises:
            ConfigError: There is one field alone.
        """
        count = self.num_fields(group)
        if count < 2:
            layout = self.layouts[group]
            (only,) = [*layout.fields, *(child for s in layout.sequences for child in s.children)]
            text = f"'{self.config.type}' crosses the fields of '{layout.name}', but '{only.name}' is the only one"
            raise ConfigError([Problem(f"{text}\nadd a feature with an embedding", self.config.place_of(layout.name))])
        return count * (count - 1) // 2

    def dim(self, group: str = "deep") -> int:
        """D of `fields`."""
        layout = self.layouts[group]
        return layout.dim if layout.fields else layout.sequences[0].children[0].dim

    def _encoder(self, group: str, sequence: SequenceLayout) -> SequenceEncoder:
        encoder = self.encoders[encoder_name(group, sequence.name)]
        assert isinstance(encoder, SequenceEncoder)
        return encoder

    def interest_width(self, group: str, sequence: SequenceLayout) -> int:
        """Width of `interest`."""
        encoder = self._encoder(group, sequence)
        return encoder.dim + (sum(c.dim for c in encoder.paired) if encoder.config.product else 0)

    # --------------------------------------------------------------------------------------------- training

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses by name that training adds to those of the tasks; here those of the sequence encoders and the gates.

        A model with losses of its own adds them to what this gives. Called after `forward` in training alone.

        Args:
            outputs: All that `forward` gave.
            labels: (B,) float32 by label.
            weights: (B,) sample weights, or None.

        Returns:
            Scalars, already weighted.
        """
        found = {name: encoder.auxiliary for name, encoder in self.encoders.items()}
        if self.feature_gates is not None:
            found["feature_gates"] = self.feature_gates.penalty()
        found |= {f"compress_{name}": module.auxiliary for name, module in self.compositions.items()}
        return {name: loss for name, loss in found.items() if isinstance(loss, Tensor)}

    # --------------------------------------------------------------------------------------------- scoring

    def composed(self, logits: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The logits by task, those that are made of others made anew, after these were corrected for sampling."""
        return logits

    # --------------------------------------------------------------------------------- accessors, for forward

    @property
    def _prepares(self) -> bool:
        """Whether `forward` gets other inputs than were looked up."""
        return bool(self.numeric or self.feature_wise or self.compositions) or self.feature_gates is not None

    def prepared(self, x: Embedded) -> Embedded:
        """The input as `forward` gets it: numeric fields beside the others, gates and the layers on fields applied."""
        if x.layouts is self.layouts or not self._prepares:
            return x
        tensors = dict(x.tensors)
        for name, layout in self.looked_up.items() if self.compositions else ():
            whole = [(f"emb:{name}", layout.fields, layout.composed)]
            whole += [(f"seq:{name}/{s.name}", s.children, s.composed) for s in layout.sequences]
            for key, spans, composed in whole:
                if composed and key in tensors:
                    tensors[key] = self._made(tensors[key], spans, composed)
        for name, modules in of_groups(self.numeric, self.layouts):
            if f"num:{name}" not in tensors:  # of the other side of a matching model
                continue
            values, key, start = tensors.pop(f"num:{name}"), f"emb:{name}", 0
            parts = [tensors[key]] if key in tensors else []
            assert isinstance(modules, nn.ModuleList)
            for module in modules:
                assert isinstance(module, NumericEmbedding)
                end = start + sum(module.sizes)
                parts.append(module(values[:, start:end]).flatten(1))
                start = end
            tensors[key] = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        if self.feature_gates is not None:
            tensors = self.feature_gates(tensors)
        for name, layers in of_groups(self.feature_wise, self.layouts):
            if f"emb:{name}" in tensors:
                tensors[f"emb:{name}"] = layers(tensors[f"emb:{name}"])
        return Embedded(tensors, self.layouts, x.matches)

    def _made(self, flat: Tensor, spans: Sequence[Span], composed: Sequence[Composed]) -> Tensor:
        """The columns of a flat tensor, those of composed fields made into embeddings."""
        parts, start = [], 0
        for one in composed:
            first, last = spans[one.first], spans[one.first + one.count - 1]
            if first.start > start:
                parts.append(flat[:, start : first.start])
            start = last.start + last.dim
            parts.append(self.compositions[module_name(one.table)](flat[:, first.start : start]))
        if start < flat.shape[1]:
            parts.append(flat[:, start:])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def fields(self, x: Embedded, group: str = "deep") -> Tensor:
        """(B, F, D), one embedding per field; encoded sequences count as one field per child."""
        layout = self.layouts[group]
        parts = [x.fields(group)] if layout.fields else []
        parts += [torch.unflatten(self.interest(x, s, group), 1, (-1, self.dim(group))) for s in layout.sequences]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def flat(self, x: Embedded, group: str = "deep", fields: Tensor | None = None) -> Tensor:
        """(B, width), embeddings, encoded sequences and dense inputs side by side.

        Args:
            x: The input.
            group: The group.
            fields: What `fields` returned, so that sequences are not encoded twice.
        """
        layout = self.layouts[group]
        if fields is not None:
            parts = [fields.flatten(1)]
        else:
            parts = [x.tensors[f"emb:{group}"]] if layout.width else []
            parts += [self.interest(x, s, group) for s in layout.sequences]
        parts += [x.dense(group)] if layout.dense else []
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def paired_fields(self, x: Embedded, group: str = "deep") -> Tensor:
        """(B, F, F - 1, D), the embeddings of each field for each other one, in the order of the fields."""
        flat = self.fields(x, group)
        return torch.unflatten(flat, 2, (max(flat.shape[1] - 1, 1), -1))

    def first(self, x: Embedded, group: str = "deep") -> Tensor:
        """(B, F), the first-order weight of each field."""
        return x.first(group)

    def linear(self, x: Embedded, group: str = "deep") -> Tensor:
        """(B, 1), the sum of all first-order weights and of the weighted dense inputs."""
        layout = self.layouts[group]
        parts = [x.first(group).sum(dim=1, keepdim=True)] if layout.first_order else []
        parts += [self._dense(x, group)] if layout.dense else []
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _dense(self, x: Embedded, group: str) -> Tensor:
        layer = self.dense_weights[module_name(group)]
        assert isinstance(layer, nn.Linear)
        return in_float32(layer, x.dense(group))

    def interest(self, x: Embedded, sequence: SequenceLayout, group: str = "deep") -> Tensor:
        """(B, D), a sequence encoded; with `product` also times its candidate, side by side."""
        encoder = self._encoder(group, sequence)
        query = None
        if encoder.needs_query or encoder.config.product:
            query = torch.cat([x.feature(group, name) for name in sequence.query if name is not None], dim=1)
        encoded: Tensor = encoder(x.sequence(sequence.name, group), query)
        if not encoder.config.product:
            return encoded
        assert query is not None
        return torch.cat([encoded, encoder.compared(encoded) * query], dim=1)


class Head(nn.Module):
    """``z_t = w_t . h + b_t + sum_i a_ti s_i``, the logits of all tasks from a shared vector h and scalar terms s.

    With one output all a are 1, as in the papers of single-task models. With several they are learned: they start at 1,
    and at random for classes, where equal ones would cancel in the softmax.

    Shape:
        hidden: (B, width), or None where `width` is 0
        terms: (B, 1) each
        output: {"logit": (B,)}, or {task: (B,)}; (B, C) for C classes

    Args:
        tasks: What is predicted.
        width: Width of h.
        terms: Number of scalar terms.
    """

    if TYPE_CHECKING:  # nn.Module's own call returns Any

        def __call__(self, hidden: Tensor | None, *terms: Tensor) -> dict[str, Tensor]: ...

    def __init__(self, tasks: Sequence[TaskConfig], width: int, terms: int = 0) -> None:
        super().__init__()
        self.names = [task.name for task in tasks] if len(tasks) > 1 else ["logit"]
        self.sizes = [task.num_outputs for task in tasks]
        outputs = sum(self.sizes)
        self.vector = linear(width, outputs, bias=False) if width else None
        self.bias = nn.Parameter(torch.zeros(outputs))
        scales = [torch.ones(terms, n) if n == 1 else torch.randn(terms, n) for n in self.sizes]
        self.scales = nn.Parameter(torch.cat(scales, dim=1)) if terms and outputs > 1 else None

    @torch.no_grad()
    def begin(self, name: str, logits: Tensor) -> None:
        """Make the logits of one output start around these, (C,): they become its bias."""
        start = sum(self.sizes[: self.names.index(name)])
        self.bias[start : start + len(logits)] = logits

    def forward(self, hidden: Tensor | None, *terms: Tensor) -> dict[str, Tensor]:
        """The logits, float32."""
        logits: Tensor = self.bias
        if self.vector is not None and hidden is not None:
            logits = logits + in_float32(self.vector, hidden)
        if self.scales is not None:
            logits = logits + torch.cat(terms, dim=1) @ self.scales
        else:
            for term in terms:
                logits = logits + term
        parts = torch.split(logits, self.sizes, dim=1)
        return {n: p.squeeze(1) if p.shape[1] == 1 else p for n, p in zip(self.names, parts, strict=True)}


def _prepare(model: Model, args: tuple[Embedded]) -> tuple[Embedded]:
    return (model.prepared(*args),)


def _compositions(layouts: Mapping[str, GroupLayout]) -> dict[str, nn.Module]:
    """A module for each composed table, by name."""
    made: dict[str, nn.Module] = {}
    for layout in layouts.values():
        whole = [(layout.fields, layout.composed), *((s.children, s.composed) for s in layout.sequences)]
        for spans, composed in whole:
            for one in composed:
                if module_name(one.table) not in made:
                    dims = tuple(span.dim for span in spans[one.first : one.first + one.count])
                    made[module_name(one.table)] = compress.build(one.config, dims, one.dim)
    return made


def _numeric(layout: GroupLayout, init: Any) -> nn.ModuleList:
    """One module for all neighbours of a kind and dim."""
    runs = groupby(layout.numeric, key=lambda field: (field.config, field.dim))
    return nn.ModuleList(numeric.build(c, [field.size for field in run], dim, init) for (c, dim), run in runs)


def _listed(config: Any, group: str) -> GroupConfig:
    """What the config says of a group, its own or that of the one it is like."""
    groups = config.groups or {}
    found: GroupConfig = groups.get(group) or groups.get(config.uses()[group].like) or GroupConfig()
    return found


def encoder_name(group: str, sequence: str) -> str:
    """Name of an encoder among the modules."""
    return module_name(f"{group}__{sequence}")


def of_groups(modules: nn.ModuleDict, groups: Iterable[str]) -> list[tuple[str, nn.Module]]:
    """The groups that have a module, each with it."""
    named = ((group, module_name(group)) for group in groups)
    return [(group, modules[name]) for group, name in named if name in modules]


def _default(config: Any) -> Any:
    """Config of the encoder of sequences that name none."""
    return member("easyrec.modules.sequence", config.default_encoder() or "pooling").Config()
