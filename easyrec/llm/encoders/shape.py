"""`Shape`: what a folder's `config.json` says of a transformer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from easyrec.errors import BundleError


class Shape(BaseModel):
    """Sizes of a transformer, by the names that its makers gave them. What else the file holds is not looked at."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_type: Literal["bert", "roberta", "xlm-roberta", "camembert"]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    pad_token_id: int = 0

    @property
    def first_position(self) -> int:
        """The position of the first token."""
        return 0 if self.model_type == "bert" else self.pad_token_id + 1

    @property
    def longest(self) -> int:
        """Tokens of the longest text that it takes."""
        return self.max_position_embeddings - self.first_position

    @property
    def has_pairs(self) -> bool:
        """Whether the second text of a pair is marked as such."""
        return self.type_vocab_size > 1


def read_json(path: Path) -> dict[str, Any]:
    """An object in a file.

    Raises:
        BundleError: There is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise BundleError(f"{path} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds no object")
    return value


def read_shape(folder: Path) -> Shape:
    """The shape of the transformer in a folder.

    Raises:
        BundleError: There is none, or it is of a kind that is not known.
    """
    if not folder.is_dir():
        needed = "'path' of an encoder is a folder with config.json, model.safetensors and tokenizer.json"
        raise BundleError(f"{folder}: there is no such folder, looked for from {Path.cwd()}; {needed}")
    path = folder / "config.json"
    try:
        return Shape.model_validate(read_json(path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise BundleError(f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
