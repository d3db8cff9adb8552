"""`Trace`: what each step of a run was given, what it gave, and what that took; bounded, and plain enough for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from easyrec.errors import AnswerError
from easyrec.llm.client import Image, Message, Price, Usage, metered
from rag.knowledge import Hit

LETTERS = 500
"""Of a text that is shown."""
ENTRIES = 20
"""Of a list or a mapping that are shown."""
DEEP = 4
"""Lists and mappings inside of each other that are shown."""


@dataclass(frozen=True)
class Traced:
    """A step that ran.

    Attributes:
        name: Its name; those of a branch begin with that of the step that chose it.
        type: What it is.
        seconds: How long it took.
        inputs: What it was given, by port, cut short.
        outputs: What it gave, likewise.
        tokens_in: That were sent to models.
        tokens_out: That came back.
        cost: What that cost, by the endpoint's price.
        notes: What it says of itself, as that a model failed and what was done instead.
    """

    name: str
    type: str
    seconds: float
    inputs: dict[str, Any] = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """A run.

    Attributes:
        steps: Those that ran, in their order.
    """

    steps: tuple[Traced, ...] = ()

    @property
    def seconds(self) -> float:
        """How long they took together."""
        return sum(step.seconds for step in self.steps)

    @property
    def cost(self) -> float:
        """What they cost together."""
        return sum(step.cost for step in self.steps)

    @property
    def fallbacks(self) -> int:
        """How often a model failed and something else was done."""
        return sum(int(step.notes.get("fallbacks", 0)) for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        told = {"seconds": self.seconds, "cost": self.cost, "fallbacks": self.fallbacks}
        return {**told, "steps": [asdict(step) for step in self.steps]}


class Note:
    """What a step says of one run of itself.

    Attributes:
        usage: What its models took.
        cost: What that cost.
        notes: Whatever else is worth knowing; plain values.
    """

    def __init__(self) -> None:
        self.usage, self.cost = Usage(), 0.0
        self.notes: dict[str, Any] = {}

    def used(self, usage: Usage, price: Price | None) -> None:
        """Count what a model took."""
        self.usage += usage
        self.cost += usage.cost(price)

    @contextmanager
    def metered(self) -> Iterator[None]:
        """Count what the models take that the block asks, where these do not say it themselves: embedders and rerankers."""
        with metered() as meter:
            try:
                yield
            finally:
                self.usage += meter.usage
                self.cost += meter.cost

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        self.notes[name] = self.notes.get(name, 0) + count

    def fell_back(self, why: object, price: Price | None = None) -> None:
        """A model failed, and the step does without it; what its answer took counts all the same."""
        if isinstance(why, AnswerError):
            self.used(Usage(input=why.tokens[0], output=why.tokens[1]), price)
        self.add("fallbacks")
        self.notes["why"] = shown(str(why))


def shown(value: Any, deep: int = DEEP) -> Any:
    """A value as a trace shows it: short, and without the content of pictures."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= LETTERS else f"{value[:LETTERS]}... ({len(value)} letters)"
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, Image):
        return shown(value.content)
    if deep == 0:
        return "..."
    if isinstance(value, Message):
        return {"role": value.role, "content": shown(value.content, deep - 1)}
    if isinstance(value, Hit):
        return {"id": value.part.id, "source": shown(value.part.source), "score": shown(round(value.score, 6))}
    if hasattr(value, "as_traced"):
        return shown(value.as_traced(), deep - 1)
    if isinstance(value, Mapping):
        few = {str(key)[:LETTERS]: shown(entry, deep - 1) for key, entry in list(value.items())[:ENTRIES]}
        return few if len(value) <= ENTRIES else {**few, "...": f"{len(value) - ENTRIES} more"}
    if isinstance(value, list | tuple | set | frozenset):
        some = [shown(entry, deep - 1) for entry in list(value)[:ENTRIES]]
        return some if len(value) <= ENTRIES else [*some, f"... {len(value) - ENTRIES} more"]
    return shown(str(value))
