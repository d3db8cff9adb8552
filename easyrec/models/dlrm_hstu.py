"""`dlrm_hstu`: gated pointwise attention over what is known of the user, its steps and the candidate; a tower a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.layout import GroupLayout, Span
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig
from easyrec.modules.mlp import linear
from easyrec.modules.sequence.target_hstu import TargetHSTU


class Config(TowersConfig):
    """Config of `dlrm_hstu`. Sequences that name no encoder have `target_hstu`."""

    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = ()

    type: Literal["dlrm_hstu"] = "dlrm_hstu"
    time: str | None = None
    """Numeric input of `deep` that tells when the candidate is shown, in the unit of the encoder's `time`."""

    def uses(self) -> dict[str, GroupUse]:
        """The candidate and the user's steps in `deep`; what else is known in `context`."""
        return {"deep": GroupUse(sequence=True, about="item"), "context": GroupUse(optional=True)}

    def default_encoder(self) -> str | None:
        """The paper's."""
        return "target_hstu"


class DLRMHSTU(Model):
    """Logit of task t = MLP_t(y), y the output at c of `hstu` over ``[f_1 .. f_C, s_1 .. s_L, c]``.

    The f are linear maps of the fields of `context`, s the steps of the first sequence of `deep`, and c the candidate:
    its features that are paired with children of a step, a learned vector in place of the others, and a linear map of
    whatever else `deep` holds.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
        Recommendations", ICML 2024, sections 2.2 and 3; the model of this name in TorchEasyRec.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        layout = self.layouts["deep"]
        self.main, *self.others = layout.sequences
        encoder = self._encoder("deep", self.main)
        if not isinstance(encoder, TargetHSTU):
            text = f"'{config.type}' reads '{self.main.name}' by the encoder 'target_hstu', not '{encoder.config.type}'"
            raise ConfigError([Problem(text, f"{config.place_of('deep', self.main.name)}.encoder")])
        self.time = None if config.time is None else _time(config.time, layout, encoder)
        if self.time is not None and encoder.config.now is not None:
            text = f"does nothing where model.time, '{config.time}', tells the time of each candidate\nleave one of them out"
            raise ConfigError([Problem(text, f"{config.place_of('deep', self.main.name)}.encoder.now")])
        self.extra = [field for field in layout.fields if field.name not in self.main.query]
        self.numbers = [span for span in layout.dense if span is not self.time]
        width = sum(span.dim for span in (*self.extra, *self.numbers))
        width += sum(self.interest_width("deep", s) for s in self.others)
        self.beside = linear(width, encoder.dim, bias=False) if width else None
        self.context = nn.ModuleList(linear(width, encoder.dim) for width in self._widths())
        self.towers = Towers(tasks, encoder.dim, config)
        self.logits = Logits(tasks, self.towers.outs)

    def _widths(self) -> Iterator[int]:
        """Widths of what stands before the steps."""
        if "context" in self.layouts:
            layout = self.layouts["context"]
            yield from (field.dim for field in layout.fields)
            yield from (self.interest_width("context", s) for s in layout.sequences)
            yield from [layout.dense_width] if layout.dense else []

    def _known(self, x: Embedded) -> Iterator[Tensor]:
        """What stands before the steps, (B, width) each."""
        layout = self.layouts["context"]
        yield from (x.feature("context", field.name) for field in layout.fields)
        yield from (self.interest(x, s, "context") for s in layout.sequences)
        yield from [x.dense("context")] if layout.dense else []

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        encoder = self._encoder("deep", self.main)
        assert isinstance(encoder, TargetHSTU)
        query = torch.cat([x.feature("deep", name) for name in self.main.query if name is not None], dim=1)
        front, beside, now = None, None, None
        if self.context:
            front = torch.stack([f(known) for f, known in zip(self.context, self._known(x), strict=True)], dim=1)
        if self.beside is not None:
            parts = [x.tensors["emb:deep"][:, field.columns] for field in self.extra]
            parts += [x.dense("deep")[:, span.columns] for span in self.numbers]
            parts += [self.interest(x, s, "deep") for s in self.others]
            beside = self.beside(torch.cat(parts, dim=1))
        if self.time is not None:
            now = x.dense("deep")[:, self.time.start]
        y = encoder.encode(x.sequence(self.main.name, "deep"), query, front, beside, now)  # (B, D)
        return self.logits(self.towers(y))


def _time(name: str, layout: GroupLayout, encoder: TargetHSTU) -> Span:
    """The input that tells the candidate's time.

    Raises:
        ConfigError: There is none of one number that is called so, or the encoder does not ask for times.
    """
    found = {span.name: span for span in layout.dense if span.dim == 1}
    if name not in found:
        known = ", ".join(found) or "none"
        text = f"'{name}' is no numeric input of 'deep'{nearest(name, found)}; such are: {known}"
        text += "\nlist a raw feature without embedding_dim in the group"
    elif encoder.time is None:
        text = f"tells when the candidate is shown, but nothing tells when the steps of '{encoder.layout.name}' were"
        text += "\nset encoder: {type: target_hstu, time: a child that tells it}"
    else:
        return found[name]
    raise ConfigError([Problem(text, "model.time")])
