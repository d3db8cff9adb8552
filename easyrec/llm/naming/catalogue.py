"""`Catalogue`: the names of a table, ready to be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from easyrec.errors import DataError
from easyrec.llm.embedders import Embedder
from easyrec.llm.items import batches_of
from easyrec.llm.naming.config import NamesConfig
from easyrec.llm.naming.forms import LONGEST, Forms, folded
from easyrec.llm.naming.letters import Letters, alike, dice
from easyrec.llm.naming.mending import Mender
from easyrec.llm.naming.scoring import Nearness
from easyrec.llm.naming.shares import Shares, Tokens
from easyrec.llm.naming.titles import Titles
from easyrec.retrieval.keyword.index import KeywordIndex

SAMPLE = 2000
"""Names by which it is seen how near different names of a catalogue are."""
LEAST_SPREAD = 0.02
AT_ONCE = 8_000_000
"""Cosines that are kept at a time."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """An id of the table.

    Attributes:
        id: It.
        name: By which it is told.
        above: The levels above it, the highest first.
    """

    id: Any
    name: str
    above: tuple[str, ...] = ()


class Catalogue:
    """Reads the names of a table, and tells which are near others.

    Args:
        config: The table.
        embedder: What makes vectors; None: names are compared without their meaning.

    Attributes:
        entries: The ids.
        texts: All of their names, without the levels above.
        owner: (n,) which entry each of `texts` belongs to.
        exact: Entries by a name as it stands.
        bags: Entries by a name whose words are folded and sorted, with the levels above and without.
        joined: The same by their words without gaps.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, holds an id twice or none, or too many names.
        MissingExtra: What finds words is not installed.
    """

    def __init__(self, config: NamesConfig, embedder: Embedder | None) -> None:
        self.forms, self._embedder = Forms(config.language, config.separator), embedder
        self.entries: list[Entry] = []
        self.exact: dict[str, set[int]] = {}
        self.bags: dict[str, set[int]] = {}
        self.joined: dict[str, set[int]] = {}
        self.texts: list[str] = []
        owner: list[int] = []
        ids: set[Any] = set()
        for key, names, above in self._rows(config):
            if key in ids:
                raise DataError(f"{config.path}: id {key!r} of column '{config.id}' stands there twice")
            ids.add(key)
            number = len(self.entries)
            seen: set[str] = set()
            for place, name in enumerate(names):
                levels = self.forms.levels(name) or [name]
                higher = tuple(levels[:-1]) or above
                if not place:
                    self.entries.append(Entry(key, name, higher))
                self.exact.setdefault(name, set()).add(number)
                for levels_of in ([levels[-1]], [*higher[-1:], levels[-1]], [*higher, levels[-1]]):
                    self.bags.setdefault(self.forms.bag(levels_of), set()).add(number)
                    self.joined.setdefault(self.forms.joined(levels_of), set()).add(number)
                if (text := folded(levels[-1])) and text not in seen:
                    seen.add(text)
                    self.texts.append(levels[-1])
                    owner.append(number)
            if len(self.texts) > config.limit:
                raise DataError(f"{config.path}: holds more than {config.limit:,} names ('limit')")
        if not self.texts:
            raise DataError(f"{config.path}: column '{config.name}' holds no name")
        self.owner = np.array(owner, np.int64)
        self._folded = [folded(text) for text in self.texts]
        self._letters = Letters(self._folded)
        self._words = _Words(self.forms, self._folded)
        places = {entry.id: place for place, entry in enumerate(self.entries)}
        self._titles = None if config.titles is None else Titles(config.titles, places, self.forms.words)
        known = {word for text in self._folded for word in text.split()}
        self._mend = Mender(known if self._titles is None else known | self._titles.vocabulary)
        first = np.searchsorted(self.owner, np.arange(len(self.entries)))
        self._first = np.minimum(first, len(self.texts) - 1)
        self._vectors, self._usual, self._spread = self._meanings()

    @staticmethod
    def _rows(config: NamesConfig) -> Iterator[tuple[Any, list[str], tuple[str, ...]]]:
        """Ids, their names, the first one that by which they are told, and what is above them."""
        columns = list(
            dict.fromkeys([config.id, config.name, *config.aliases, *([config.parent] if config.parent else [])])
        )
        for batch in batches_of(Path(config.path), columns, "names"):
            for row in batch.to_pylist():
                if row[config.id] is None:
                    raise DataError(f"{config.path}: a row has no '{config.id}'")
                first = row[config.name]
                if first is None or not str(first).strip():
                    raise DataError(f"{config.path}: {row[config.id]!r} has no '{config.name}'")
                names = [_text(first), *(name for column in config.aliases for name in _texts(row[column]))]
                higher = [] if config.parent is None else _texts(row[config.parent])
                if config.separator is not None:
                    higher = [part.strip() for text in higher for part in text.split(config.separator)]
                yield row[config.id], names, tuple(text for text in higher if text)

    def _meanings(self) -> tuple[Floats | None, float, float]:
        """Vectors of the names, and how near different ones usually are, and how far that varies."""
        if self._embedder is None:
            return None, 0.0, 1.0
        vectors = _unit(self._embedder.documents(self.texts))
        above = [self.entries[entry].above[-1:] for entry in self.owner.tolist()]
        if any(above):  # what stands above a name says which of its meanings is meant
            told = [
                f"{text} ({', '.join(higher)})" if higher else text
                for text, higher in zip(self.texts, above, strict=True)
            ]
            vectors = _unit(vectors + _unit(self._embedder.documents(told)))
        some = np.random.default_rng(0).permutation(len(vectors))[:SAMPLE]
        nearest = []
        for start in range(0, len(some), 256):
            rows = some[start : start + 256]
            cosines = vectors[rows] @ vectors[some].T
            cosines[self.owner[rows][:, None] == self.owner[some][None]] = -1.0
            nearest.append(cosines.max(axis=1))
        found = np.concatenate(nearest)
        found = found[found > -1.0]
        if not len(found):
            return vectors, 0.5, 0.1
        return vectors, float(found.mean()), max(float(found.std()), LEAST_SPREAD)

    def near(self, texts: Sequence[str], k: int) -> tuple[Ints, Ints, Nearness]:
        """Names that are near texts by words, meaning or letters, k each, and how near.

        Args:
            texts: As they stand.
            k: How many of each kind.

        Returns:
            (n,) numbers of texts and (n,) of names, ascending, and their nearness.
        """
        plain = [folded(text) for text in texts]
        mended = self._mend(plain)
        pairs = [self._letters.nearest(plain, k), self._words.nearest(mended, k)]
        vectors = None
        if self._vectors is not None and self._embedder is not None:
            vectors = _unit(self._embedder.documents(mended))
            pairs.append(self._nearest(self._vectors, vectors, k))
        if self._titles is not None:
            tokens = self._titles.tokens.of(mended)
            asked, entry = self._titles.shares.nearest(*tokens, len(mended), k)
            pairs.append((asked, self._first[entry]))
        both = np.unique(np.concatenate([asked * len(self.texts) + name for asked, name in pairs]))
        asked, name = both // len(self.texts), both % len(self.texts)
        left, right = [plain[one] for one in asked.tolist()], [self._folded[one] for one in name.tolist()]
        meaning, titles = np.zeros(len(both), np.float32), np.zeros(len(both), np.float32)
        if vectors is not None and self._vectors is not None:
            cosine = np.einsum("nd,nd->n", vectors[asked], self._vectors[name])
            meaning = ((cosine - self._usual) / self._spread).astype(np.float32)
        if self._titles is not None:
            titles, _ = self._titles.shares.shared(*tokens, len(mended), asked, self.owner[name])
        words = self._words.shared(mended, asked, name)
        kept = alike(plain, mended)[asked]
        return asked, name, Nearness(meaning, *words, titles, dice(left, right), alike(left, right), kept)

    @staticmethod
    def _nearest(held: Floats, vectors: Floats, k: int) -> tuple[Ints, Ints]:
        k, step = min(k, len(held)), max(1, AT_ONCE // len(held))
        asked, names = [], []
        for start in range(0, len(vectors), step):
            cosines = vectors[start : start + step] @ held.T
            best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
            asked.append(np.repeat(np.arange(len(cosines)) + start, k))
            names.append(best.ravel())
        return np.concatenate(asked), np.concatenate(names)

    def kinship(self, above: Sequence[str], entry: int) -> float:
        """From 0 to 1, how alike the levels above a name are to those above an entry."""
        pairs = [(folded(one), folded(other)) for one in above for other in self.entries[entry].above]
        return float(dice([one for one, _ in pairs], [other for _, other in pairs]).max()) if pairs else 0.0

    def close(self) -> None:
        """Let go of what lies on disk."""
        self._words.close()


class _Words:
    """Names by their words.

    Args:
        forms: Makes words.
        names: Folded.
    """

    def __init__(self, forms: Forms, names: Sequence[str]) -> None:
        self._folder = TemporaryDirectory(prefix="names-", ignore_cleanup_errors=True)
        self._index = KeywordIndex(self._folder.name, forms.words.language)
        self._index.add(range(len(names)), names)
        self._index.commit()
        self._index.close()
        self._tokens = Tokens(forms.words)
        row, token = self._tokens.of(names, learn=True)
        self._shares = Shares(row, token, np.ones(len(row), np.float32), len(names), len(self._tokens))

    def nearest(self, names: Sequence[str], k: int) -> tuple[Ints, Ints]:
        """Pairs of numbers of names, and of those with the best BM25, k of each at most."""
        asked, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number, name in enumerate(names):
            numbers, _ = self._index.search(name, k)
            asked.append(np.full(len(numbers), number))
            found.append(numbers)
        return np.concatenate(asked), np.concatenate(found)

    def shared(self, names: Sequence[str], asked: Ints, found: Ints) -> tuple[Floats, Floats]:
        """As `Shares.shared`."""
        return self._shares.shared(*self._tokens.of(names), len(names), asked, found)

    def close(self) -> None:
        self._index.close()
        self._folder.cleanup()


def _unit(vectors: np.ndarray) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def _text(value: Any) -> str:
    return str(value).strip()[:LONGEST]


def _texts(value: Any) -> list[str]:
    """The texts of a cell: none, one, or a list."""
    values = value if isinstance(value, list) else [value]
    return [_text(one) for one in values if one is not None and str(one).strip()]
