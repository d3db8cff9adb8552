"""Where each feature's numbers lie in the flat tensors that a model reads. Knows no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from typing_extensions import Self


@dataclass(frozen=True)
class Span:
    """The columns `start .. start + dim` of a flat tensor, and whose they are.

    Attributes:
        coded: Whether they are the codes of an item, and no embedding.
    """

    name: str
    dim: int
    start: int
    coded: bool = field(default=False, compare=False)

    @property
    def columns(self) -> slice:
        """The columns as a slice."""
        return slice(self.start, self.start + self.dim)


@dataclass(frozen=True)
class Search:
    """Which steps of a sequence are looked up at all; the others cost no more than a look at their ids.

    Attributes:
        kind: `newest` keeps the newest steps; `hard` the newest that share an id with the candidate; `hash` those whose
            SimHash is the nearest to the candidate's; `soft` those whose embedding has the largest inner product with
            the candidate's.
        top: How many are kept at most.
        child: The child that is compared with its candidate, by its short name; in a plan the whole name. None: an
            encoder leaves the choice to the plan.
        bits: Length of a SimHash, at most 64.
        seed: Decides the directions of a SimHash.
    """

    kind: Literal["newest", "hard", "hash", "soft"]
    top: int
    child: str | None = None
    bits: int = 64
    seed: int = 0


@dataclass(frozen=True)
class NumericField:
    """A field that a module of the model makes of numbers.

    Attributes:
        name: The feature's name.
        dim: Width of the embedding.
        start: First column of the numbers inside `num:<group>`.
        size: Number of numbers.
        config: How they become an embedding: a config of the family `easyrec.modules.numeric`.
    """

    name: str
    dim: int
    start: int
    size: int = 1
    config: Any = field(default=None, compare=False)

    @property
    def columns(self) -> slice:
        """The columns of the numbers."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Composed:
    """A field that a module of the model makes of what several tables give, or one that is narrower.

    Attributes:
        name: The feature's name.
        dim: Width of the embedding.
        first: The first of its spans.
        count: Number of its spans.
        table: The table that they stand for: fields of one table share the module.
        config: How it is made: a config of the family `easyrec.modules.compress`.
    """

    name: str
    dim: int
    first: int
    count: int
    table: str
    config: Any = field(default=None, compare=False)


def joined_spans(spans: tuple[Span, ...], composed: tuple[Composed, ...]) -> tuple[list[Span], list[int]]:
    """The fields once those that are composed are made, side by side; and the number of the first span of each."""
    by_first = {one.first: one for one in composed}
    fields: list[Span] = []
    firsts: list[int] = []
    place = start = 0
    while place < len(spans):
        made = by_first.get(place)
        dim = spans[place].dim if made is None else made.dim
        fields.append(replace(spans[place], dim=dim, start=start))
        firsts.append(place)
        start += dim
        place += 1 if made is None else made.count
    return fields, firsts


@dataclass(frozen=True)
class SequenceLayout:
    """A sequence that reaches the model step by step.

    Attributes:
        name: The sequence's name.
        children: Columns of its children inside `seq:<group>/<name>`, (N, dim), in the order of the config.
        query: For each child the feature of the group that is its candidate, or None.
        encoder: Config of the encoder that the experiment names; None: the model's own default.
        search: Which steps are there; None: all.
        composed: Children that are made of their spans, each of which stands among `children`.
    """

    name: str
    children: tuple[Span, ...]
    query: tuple[str | None, ...]
    encoder: Any = field(default=None, compare=False)
    search: Search | None = None
    composed: tuple[Composed, ...] = ()

    def joined(self) -> SequenceLayout:
        """The layout once the composed children are made."""
        if not self.composed:
            return self
        spans, firsts = joined_spans(self.children, self.composed)
        return replace(self, children=tuple(spans), query=tuple(self.query[i] for i in firsts), composed=())

    @property
    def dim(self) -> int:
        """Width of one step: the children side by side."""
        return sum(child.dim for child in self.children)


@dataclass(frozen=True)
class GroupLayout:
    """What a model finds of one feature group.

    Attributes:
        name: The group's name.
        fields: Columns of the fields inside `emb:<name>`, (B, width): features in the order of the config,
            then the children of pooled sequences.
        dense: Columns of the numeric inputs inside `dense:<name>`, (B, dense_width).
        sequences: Sequences that are not pooled by the lookup.
        first_order: Whether `first:<name>`, (B, F), exists: one weight per field.
        numeric: Fields that come after `fields`, made of the columns of `num:<name>`.
        composed: Fields that are made of their spans, each of which stands among `fields`.
    """

    name: str
    fields: tuple[Span, ...] = ()
    dense: tuple[Span, ...] = ()
    sequences: tuple[SequenceLayout, ...] = ()
    first_order: bool = False
    numeric: tuple[NumericField, ...] = ()
    composed: tuple[Composed, ...] = ()

    @property
    def num_fields(self) -> int:
        """F, the number of fields."""
        return len(self.fields) + len(self.numeric)

    @property
    def width(self) -> int:
        """Columns of `emb:<name>`, the sum of the fields' dims; 0 where the model asks for no embeddings."""
        return sum(span.dim for span in self.fields)

    @property
    def dense_width(self) -> int:
        """Columns of `dense:<name>`."""
        return sum(span.dim for span in self.dense)

    @property
    def numeric_width(self) -> int:
        """Columns of `num:<name>`."""
        return sum(numeric.size for numeric in self.numeric)

    def joined(self) -> GroupLayout:
        """The layout once composed fields are made, and the numeric ones stand beside the others in `emb:<name>`."""
        spans, _ = joined_spans(self.fields, self.composed)
        start = sum(span.dim for span in spans)
        for numeric in self.numeric:
            spans.append(Span(numeric.name, numeric.dim, start))
            start += numeric.dim
        sequences = tuple(sequence.joined() for sequence in self.sequences)
        return replace(self, fields=tuple(spans), sequences=sequences, numeric=(), composed=())

    @property
    def dim(self) -> int:
        """D, the dim that all fields share.

        Raises:
            ValueError: The dims differ, or there is no field.
        """
        dims = {span.dim for span in self.fields}
        if len(dims) != 1:
            listed = ", ".join(f"{span.name} {span.dim}" for span in self.fields) or "no fields"
            raise ValueError(f"group '{self.name}' has no single embedding dim: {listed}")
        return dims.pop()

    def field(self, name: str) -> Span:
        """The columns of the field `name`; KeyError where the group has none."""
        for span in self.fields:
            if span.name == name:
                return span
        raise KeyError(f"group '{self.name}' has no field '{name}'; it has: {', '.join(s.name for s in self.fields)}")

    def sequence(self, name: str) -> SequenceLayout:
        """The layout of the sequence `name`; KeyError where the group has none."""
        for sequence in self.sequences:
            if sequence.name == name:
                return sequence
        raise KeyError(f"group '{self.name}' has no sequence '{name}'")

    def keys(self) -> tuple[str, ...]:
        """Names of the group's tensors in the flat dict of inputs, in a fixed order."""
        names = [f"emb:{self.name}"] if self.width else []
        names += [f"first:{self.name}"] if self.first_order else []
        names += [f"dense:{self.name}"] if self.dense else []
        names += [f"num:{self.name}"] if self.numeric else []
        for sequence in self.sequences:
            names += [f"{kind}:{self.name}/{sequence.name}" for kind in ("seq", "rows", "offsets")]
        return tuple(names)

    def to_json(self) -> dict[str, Any]:
        """The layout as plain data; configs of encoders and numeric fields are left out, the model knows them."""
        return {
            "name": self.name,
            "fields": [[s.name, s.dim, s.start] for s in self.fields],
            "dense": [[s.name, s.dim, s.start] for s in self.dense],
            "sequences": [
                {
                    "name": s.name,
                    "children": [[c.name, c.dim, c.start] for c in s.children],
                    "query": list(s.query),
                    "search": None if s.search is None else asdict(s.search),
                    **_told(s.composed),
                }
                for s in self.sequences
            ],
            "first_order": self.first_order,
            "numeric": [[n.name, n.dim, n.start, n.size] for n in self.numeric],
            **_told(self.composed),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The layout that `to_json` wrote."""
        return cls(
            data["name"],
            tuple(Span(*s) for s in data["fields"]),
            tuple(Span(*s) for s in data["dense"]),
            tuple(
                SequenceLayout(
                    s["name"],
                    tuple(Span(*c) for c in s["children"]),
                    tuple(s["query"]),
                    search=Search(**s["search"]) if s.get("search") else None,
                    composed=tuple(Composed(*c) for c in s.get("composed", ())),
                )
                for s in data["sequences"]
            ),
            data["first_order"],
            tuple(NumericField(*n) for n in data.get("numeric", ())),
            tuple(Composed(*c) for c in data.get("composed", ())),
        )


def _told(composed: tuple[Composed, ...]) -> dict[str, Any]:
    """Composed fields as plain data; nothing where there are none."""
    told = [[c.name, c.dim, c.first, c.count, c.table] for c in composed]
    return {"composed": told} if told else {}
