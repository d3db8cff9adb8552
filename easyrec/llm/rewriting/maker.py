"""`Maker`: what rewrites are made with: examples, bid words, names, vectors and rules, out of the tables of a config."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel
from typing_extensions import Self

from easyrec.errors import ConfigError
from easyrec.llm.client import Endpoint, Message
from easyrec.llm.client.cache import Cache
from easyrec.llm.embedders import Embedder
from easyrec.llm.examples import ExampleIndex
from easyrec.llm.rewriting.bid_words import BidWords
from easyrec.llm.rewriting.config import RewriteConfig
from easyrec.llm.rewriting.filters import Filters, texts_of
from easyrec.llm.rewriting.forms import Forms
from easyrec.llm.rewriting.prompt import schema_of, talk_of
from easyrec.llm.rewriting.rewrites import Ask, Made
from easyrec.llm.rewriting.tables import Examples, Names, read_bid_words, read_examples, read_queries
from easyrec.llm.rewriting.tagger import Tagger
from easyrec.llm.rewriting.vectors import remembered

if TYPE_CHECKING:
    from easyrec.llm.config import LlmConfig

Progress = Callable[[int], object]
Known = tuple[str, str | None, Sequence[str]]


@dataclass(frozen=True)
class Prepared:
    """A query that is ready to be asked about.

    Attributes:
        ask: It, with its category where that was found.
        vector: (d,) of the query, of length 1; None: there are no vectors.
        examples: Queries with their categories and rewrites, the nearest one last, where models heed it most.
        bid_words: What is advertised for and shares words with it.
    """

    ask: Ask
    vector: np.ndarray | None = None
    examples: tuple[Known, ...] = ()
    bid_words: tuple[str, ...] = ()


class Maker:
    """Prepares what a model is asked, and sorts what it answers. Any number of threads may use it; close it, or use it as `with`.

    Args:
        config: What tools share: the model and the embedder.
        own: Section `rewrite`.
        progress: Is told how many more vectors there are.

    Attributes:
        asks: The head: the most frequent queries.
        searches: How often all queries of the table were searched.

    Raises:
        ConfigError: What is configured needs an embedder, or a table lacks a column.
        DataError: A table cannot be read.
        MissingExtra: What finds words is not installed: the extra `rag`.
    """

    def __init__(self, config: LlmConfig, own: RewriteConfig, progress: Progress | None = None) -> None:
        _check(config, own)
        self.own, self.endpoint = own, config.model
        self.forms = Forms(own.language)
        self.asks, names, self.searches = read_queries(own.queries, own.head)
        known = Examples() if own.examples is None else read_examples(own.examples)
        self._rewrites = known.rewrites
        self._lock = threading.Lock()
        with ExitStack() as stack:
            self.embedder: Embedder | None = None
            if config.embedder is not None:
                self.embedder = stack.enter_context(config.embedder.open())
            folder_of(own).mkdir(parents=True, exist_ok=True)
            self._cache = Cache(folder_of(own) / "vectors.db")
            stack.callback(self._cache.close)
            self.bid_words: BidWords | None = None
            if own.bid_words is not None:
                bid_words = BidWords(read_bid_words(own.bid_words), self.forms, own.language)
                self.bid_words = stack.enter_context(bid_words)
            self.examples: ExampleIndex | None = None
            if own.examples is not None:
                self.examples = stack.enter_context(self._indexed(known, progress))
            self.filters = self._filters(names, known)
            self._stack = stack.pop_all()

    def _indexed(self, known: Examples, progress: Progress | None) -> ExampleIndex:
        assert self.own.examples is not None
        by = self.own.examples.by or ("words" if self.embedder is None else "vectors")
        vectors = None
        if by != "words":
            assert self.embedder is not None
            vectors = remembered(self.embedder, self._cache, known.queries, progress)
        return ExampleIndex(
            known.queries,
            known.categories,
            vectors,
            by=by,
            language=self.own.language,
            diversity=self.own.examples.diversity,
        )

    def _filters(self, names: Names, known: Examples) -> Filters:
        categories = dict.fromkeys([*names.categories, *(name for name in known.categories if name is not None)])
        taggers = Tagger(names.brands, self.forms), Tagger(categories, self.forms)
        return Filters(self.own.filters, self.forms, *taggers, self.examples, self.bid_words)

    @property
    def schema(self) -> type[BaseModel]:
        """What the model answers: an object with `rewrites`."""
        return schema_of(self.own.rewrites)

    def close(self) -> None:
        """Let go of everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------- work

    def vectors(
        self, texts: Sequence[str], progress: Progress | None = None, *, kept: bool = True
    ) -> np.ndarray | None:
        """Vectors of queries, of length 1; None where there is no embedder.

        Args:
            texts: The queries.
            progress: Is told how many more there are.
            kept: Whether they are kept in the file: those of requests are not, of which there is no end.
        """
        if self.embedder is None:
            return None
        if not texts:
            return np.zeros((0, 0), np.float32)
        made = remembered(self.embedder, self._cache, texts, progress) if kept else self.embedder.queries(list(texts))
        return _unit(made)

    def prepare(self, asks: Sequence[Ask], vectors: np.ndarray | None) -> list[Prepared]:
        """What is asked about queries.

        Args:
            asks: They.
            vectors: (n, d) of them, as `vectors` gives them.
        """
        return [self._prepared(ask, None if vectors is None else vectors[number]) for number, ask in enumerate(asks)]

    def _prepared(self, ask: Ask, vector: np.ndarray | None) -> Prepared:
        ask = self.filters.completed(ask, vector)
        told: list[Known] = []
        shots = 0 if self.own.examples is None else self.own.examples.shots
        if self.examples is not None and shots and len(self.examples):
            chosen = self.examples.select(ask.query, ask.category, shots, vector=vector).places
            told = [
                (self.examples.queries[place], self.examples.categories[place], self._rewrites[place])
                for place in reversed(chosen.tolist())
            ]
        words: list[str] = []
        if self.bid_words is not None and self.own.bid_words is not None and self.own.bid_words.shown:
            words = self.bid_words.near(ask.query, self.own.bid_words.shown)
        return Prepared(ask, vector, tuple(told), tuple(words))

    def talk(self, one: Prepared) -> list[Message]:
        """What is said to the model."""
        return talk_of(one.ask, self.own.rewrites, self.own.shop, one.examples, one.bid_words)

    def sorted(
        self, prepared: Sequence[Prepared], said: Sequence[BaseModel | None], *, kept: bool = True
    ) -> list[Made]:
        """What comes of answers.

        Args:
            prepared: What was asked.
            said: The answers, None where there is none.
            kept: Whether vectors of rewrites are kept in the file.
        """
        texts = [[] if one is None else texts_of(one.rewrites, self.own.rewrites) for one in said]  # type: ignore[attr-defined]
        vectors = self.vectors([text for own in texts for text in own], kept=kept)
        made, start = [], 0
        for one, own, answer in zip(prepared, texts, said, strict=True):
            some = None if vectors is None else vectors[start : start + len(own)]
            start += len(own)
            taken, rejected = self.filters.sort(one.ask, own, one.vector, some)
            made.append(Made(one.ask, taken, rejected, answer is not None))
        return made


@contextmanager
def vectors_of(config: LlmConfig, own: RewriteConfig) -> Iterator[Callable[[Sequence[str]], np.ndarray | None]]:
    """What makes vectors of queries alone, as `Maker.vectors`; it gives None where there is no embedder."""
    if config.embedder is None:
        yield lambda texts: None
        return
    folder_of(own).mkdir(parents=True, exist_ok=True)
    with config.embedder.open() as embedder, closing(Cache(folder_of(own) / "vectors.db")) as cache:
        yield lambda texts: _unit(remembered(embedder, cache, texts))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) if len(vectors) else vectors


def folder_of(own: RewriteConfig) -> Path:
    """Where vectors and what was made on demand are kept."""
    output = Path(own.output)
    return output.with_name(f"{output.name}.kept") if own.folder is None else Path(own.folder)


def endpoint_of(endpoint: Endpoint, own: RewriteConfig) -> Endpoint:
    """The model with a cache of answers: its own, or one in the folder."""
    if endpoint.cache is not None:
        return endpoint
    return endpoint.model_copy(update={"cache": str(folder_of(own) / "answers.db")})


def _check(config: LlmConfig, own: RewriteConfig) -> None:
    """What needs vectors has an embedder.

    Raises:
        ConfigError: It has none.
    """
    if config.embedder is not None:
        return
    wants = {f"filters.{name}": getattr(own.filters, name) is not None for name in ("low", "high")}
    wants["examples.by"] = own.examples is not None and own.examples.by in ("vectors", "both")
    for name, is_wanted in wants.items():
        if is_wanted:
            raise ConfigError(f"rewrite.{name}: needs an 'embedder', which makes vectors of queries")
