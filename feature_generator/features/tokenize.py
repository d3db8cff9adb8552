"""`tokenize`: the tokens of a text, as a tokenizer file numbers them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PrivateAttr
from typing_extensions import override

from feature_generator.discretizer import Discretizer, SparseConfig
from feature_generator.features import Operator, Sided, Source, named_file
from feature_generator.text import plain
from feature_generator.text.lists import flat
from feature_generator.text.normalizer import Normalizer, NormalizerConfig, read_stop_chars
from feature_generator.text.tokenizer import Tokenizer, TokenizerType, read_tokenizer, tokenize
from feature_generator.values import as_text


class Config(SparseConfig):
    """Config of `tokenize`."""

    type: Literal["tokenize"] = "tokenize"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    vocab_file: str = Field(min_length=1)
    """The tokenizer: a `tokenizer.json`, or a model of SentencePiece."""
    tokenizer_type: TokenizerType = "bpe"
    """`bpe` reads a tokenizer.json of HuggingFace `tokenizers`, whatever its model; `sentencepiece` a model of it."""
    text_normalizer: NormalizerConfig | None = None
    """How texts are normalised before; by default not at all."""
    tokens_as_sequence: bool = False
    """The tokens are the elements of a simple sequence, which keeps `sequence_length` of them."""
    value_dim: int | None = Field(None, ge=0, le=1)
    """Tokens per element: 0 all, 1 the first."""
    _tokenizer: Tokenizer | None = PrivateAttr(None)
    _stops: str = PrivateAttr("")

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if not self.tokens_as_sequence:
            return problems
        if self.sequence_length is None:
            text = "makes a sequence of the tokens of one text: needs sequence_length, and cannot stand in a sequence"
            problems.append(("tokens_as_sequence", text))
        for key in ("sequence_delim", "sequence_fields", "order", "lengths", "value_dim"):
            if key in self.model_fields_set:
                problems.append((key, "does not go with tokens_as_sequence: the text itself is no sequence"))
        return problems

    @property
    @override
    def exploded(self) -> bool:
        return self.tokens_as_sequence

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @property
    @override
    def files(self) -> dict[str, str]:
        stops = self.text_normalizer.stop_char_file if self.text_normalizer is not None else None
        return {"vocab_file": self.vocab_file} | ({} if stops is None else {"text_normalizer.stop_char_file": stops})

    @override
    def first_only(self, sequence: bool) -> bool:
        return self.value_dim == 1

    @override
    def discretizer(self, hash_name: str, default: str, folder: Path | None) -> Discretizer:
        return Discretizer("range", self._read(folder).size, out_of_range="error")

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        tokenizer = self._tokenizer = self._read(folder)
        normalizer = None
        if self.text_normalizer is not None:
            self._stops = read_stop_chars(self.text_normalizer, folder, "text_normalizer.stop_char_file")
            normalizer = Normalizer(self.text_normalizer, self._stops)

        def run(inputs: list[Any], elements: int) -> Any:
            offsets, texts = flat(inputs[0])
            ends, ids = tokenize(texts if normalizer is None else normalizer(texts), tokenizer)
            offsets = ends[offsets]
            if self.tokens_as_sequence:
                offsets, ids = self._cut(offsets, ids)
            return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids))

        if self.tokens_as_sequence and self.empty == "default":
            default = default or "0"
        return Operator("call", {"texts": True}, run, defaults=[str(i) for i in self._kept(self._ids(default))])

    def _read(self, folder: Path | None) -> Tokenizer:
        content = named_file(self.vocab_file, folder).read_bytes()
        try:
            return read_tokenizer(content, self.tokenizer_type)
        except ValueError as error:
            raise ValueError(f"'{self.vocab_file}' {error}") from None

    def _ids(self, text: str) -> list[int]:
        assert self._tokenizer is not None
        return self._tokenizer.ids([text])[0] if text else []

    def _kept(self, ids: list[int]) -> list[int]:
        """What `sequence_length` leaves of one element's tokens."""
        if not self.tokens_as_sequence or self.sequence_length is None or len(ids) <= self.sequence_length:
            return ids
        return ids[-self.sequence_length :] if self.truncate == "newest" else ids[: self.sequence_length]

    def _cut(self, offsets: Any, ids: Any) -> tuple[Any, Any]:
        """`_kept` of every element."""
        most = self.sequence_length
        lengths = np.diff(offsets)
        if most is None or not len(lengths) or lengths.max() <= most:
            return offsets, ids
        within = np.arange(len(ids)) - np.repeat(offsets[:-1], lengths)
        kept = within >= np.repeat(lengths, lengths) - most if self.truncate == "newest" else within < most
        ends = np.cumsum(np.minimum(lengths, most))
        return np.concatenate([np.zeros(1, np.int64), ends]), ids[kept]

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        texts = [as_text(value) for value in inputs[0]]
        if self.text_normalizer is not None:
            texts = [plain.normalize(text, self.text_normalizer, self._stops) for text in texts]
        return self._kept([token for text in texts for token in self._ids(text)])
