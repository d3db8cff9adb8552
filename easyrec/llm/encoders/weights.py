"""Weights out of a folder's safetensors, under the names that the makers of BERT gave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from easyrec.errors import BundleError
from easyrec.llm.encoders.shape import Shape

N = TypeVar("N", bound=nn.Module)
FILE = "model.safetensors"
PREFIXES = ("", "bert.", "roberta.", "model.")
"""What may stand before a transformer's names."""


_opened: Any = safe_open  # it has no types


class Weights:
    """The tensors of a folder, each read when it is asked for.

    Raises:
        BundleError: The file is not there, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            self._file: Any = _opened(self.path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{self.path} cannot be read: {error}") from None
        self.names: frozenset[str] = frozenset(self._file.keys())

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor in fp32.

        Raises:
            BundleError: It is not there, or has another shape.
        """
        if name not in self.names:
            raise BundleError(f"{self.path}: has no tensor '{name}'")
        tensor: Tensor = self._file.get_tensor(name)
        if tuple(tensor.shape) != shape:
            raise BundleError(f"{self.path}: '{name}' has the shape {tuple(tensor.shape)}, where {shape} is needed")
        return tensor.float()

    def prefix(self) -> str:
        """What stands before the transformer's names.

        Raises:
            BundleError: There is no transformer.
        """
        for prefix in PREFIXES:
            if f"{prefix}embeddings.word_embeddings.weight" in self.names:
                return prefix
        raise BundleError(f"{self.path}: holds no transformer of the BERT family")


def fill(module: nn.Module, names: dict[str, str], weights: Weights) -> None:
    """Set the parameters of a module.

    Args:
        module: Whose.
        names: Their names, each with that of its tensor. Of several tensors, joined by `+`, the rows follow each other.
        weights: Where they are.

    Raises:
        BundleError: A tensor is missing or has another shape.
    """
    for name, source in names.items():
        parameter = module.get_parameter(name)
        parts = source.split("+")
        shape = (parameter.shape[0] // len(parts), *parameter.shape[1:])
        whole = torch.cat([weights.take(part, shape) for part in parts])
        owner, _, last = name.rpartition(".")
        module.get_submodule(owner).register_parameter(last, nn.Parameter(whole, requires_grad=False))


def transformer_names(shape: Shape, prefix: str) -> dict[str, str]:
    """Names of a `Transformer`'s parameters with those of their tensors."""
    head = f"{prefix}embeddings."
    names = {
        "words.weight": f"{head}word_embeddings.weight",
        "positions.weight": f"{head}position_embeddings.weight",
        "kinds.weight": f"{head}token_type_embeddings.weight",
        **_both("norm", f"{head}LayerNorm"),
    }
    for number in range(shape.num_hidden_layers):
        ours, theirs = f"layers.{number}.", f"{prefix}encoder.layer.{number}."
        heads = [f"{theirs}attention.self.{part}" for part in ("query", "key", "value")]
        names |= {f"{ours}qkv.{kind}": "+".join(f"{part}.{kind}" for part in heads) for kind in ("weight", "bias")}
        names |= _both(f"{ours}out", f"{theirs}attention.output.dense")
        names |= _both(f"{ours}norm", f"{theirs}attention.output.LayerNorm")
        names |= _both(f"{ours}up", f"{theirs}intermediate.dense")
        names |= _both(f"{ours}down", f"{theirs}output.dense")
        names |= _both(f"{ours}last", f"{theirs}output.LayerNorm")
    return names


def _both(ours: str, theirs: str) -> dict[str, str]:
    """Weight and bias."""
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


def made(make: Callable[[], N]) -> N:
    """A module whose parameters are nowhere yet: they are filled, so they need not be drawn."""
    with torch.device("meta"):
        return make()
