"""`ask_each`: many prompts, each paid once; what could not be used is counted by kind, and a report says what it took."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from easyrec.durable import write_text
from easyrec.errors import AnswerError, BudgetError, DataError, ModelError
from easyrec.llm.client import AsyncClient, Client, Endpoint, Parsed, Usage
from easyrec.llm.client.asked import key_of
from easyrec.llm.client.client import Talk

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
FAILED = {
    "unparsed": "not what was asked for",
    "refused": "the model refused",
    "cut": "cut at the limit of tokens",
    "rejected": "followed the schema and said what cannot be",
    "failed": "the server did not take the prompt",
}
"""Why an answer cannot be used."""
NOT_TAKEN = frozenset({400, 413, 422})
"""What servers answer to a prompt that they cannot take, such as one that is too long: the next one may be better."""
EXAMPLES = 3
"""Reasons of each kind that are told."""


@dataclass(frozen=True)
class Asked(Generic[M]):
    """What came of many prompts.

    Attributes:
        values: The answers, in the order of what was asked; None where there is none that can be used.
        states: Of each, `answered` or why not; empty where it was not asked.
        kinds: How many were `answered`, and how many not, by why: see `FAILED`.
        cached: How many of all were told by the cache alone.
        spent: What it took.
        cost: In money, by the endpoint's price.
        seconds: How long it took.
        whys: Some reasons of those that cannot be used, by kind; never the words of the model.
    """

    values: list[M | None] = field(repr=False)
    states: list[str] = field(repr=False)
    kinds: Counter[str]
    cached: int
    spent: Usage
    cost: float
    seconds: float
    whys: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many were asked."""
        return len(self.values)

    @property
    def failed(self) -> int:
        """How many have no answer."""
        return self.count - self.kinds["answered"]

    def as_json(self) -> dict[str, Any]:
        """For the report of a run."""
        told = {"asked": self.count, "from_cache": self.cached, "answered": self.kinds["answered"]}
        return {
            **told,
            **{kind: self.kinds[kind] for kind in FAILED},
            "why": {k: list(v) for k, v in self.whys.items()},
        }


def client_for(endpoint: Endpoint, output: Path) -> Client:
    """A client whose answers are kept: where its config says, else in `<output>.answers.db`.

    Raises:
        ConfigError: The variable that holds the key is not set.
        ModelError: The cache cannot be opened.
    """
    if endpoint.cache is not None:
        return Client(endpoint)
    return Client(endpoint.model_copy(update={"cache": str(output.with_name(f"{output.name}.answers.db"))}))


def ask_each(
    client: Client,
    items: Sequence[T],
    talk_of: Callable[[T], Talk],
    schema: type[M] | Callable[[T], type[M]],
    *,
    max_failed: float = 0.2,
    progress: Callable[[int], object] | None = None,
    check: Callable[[T, M], str | None] | None = None,
    sample_of: Callable[[T], int] | None = None,
    temperature: float = 0.0,
    seed: int | None = None,
    max_tokens: int | None = None,
    not_taken: frozenset[int] = NOT_TAKEN,
    more: Mapping[str, Any] | None = None,
    made: Callable[[T, Parsed[M]], M] | None = None,
) -> Asked[M]:
    """Ask about each item, as many at a time as the endpoint allows.

    Where so many cannot be used that the share is reached whatever comes, or the budget is spent, or the server is gone, no
    further one is sent; those under way are waited for, so that the cache keeps what was paid. An interrupt ends them.

    Args:
        client: The model; with a cache nothing is paid for twice, see `client_for`.
        items: What is asked about.
        talk_of: The messages about an item, or what the user says.
        schema: What is answered, or a function of the item that gives it.
        max_failed: The share of items that may have no answer.
        progress: Is told how many more are done.
        check: Says why an answer cannot be, such as that it names what was not shown; None where it can.
        sample_of: The how manieth answer to the same question an item is; it also moves the seed.
        temperature: How freely it speaks.
        seed: For servers that draw by one.
        max_tokens: Of an answer; default: the endpoint's.
        not_taken: States of the server that are about a single prompt, and not about all.
        more: Fields that this server understands besides.
        made: Makes what is kept of an answer, where that is more than its value.

    Raises:
        DataError: More than `max_failed` of the answers could not be used.
        BudgetError: The budget is spent.
        ModelError: The server cannot be reached, or refuses.
    """
    kinds: Counter[str] = Counter()
    whys: dict[str, list[str]] = {}
    cached, stopped = 0, list[ModelError]()
    most, before, began = max_failed * len(items) + 1e-9, client.ledger.spent, time.monotonic()

    async def said(client: AsyncClient, item: T) -> tuple[M | None, str, str]:
        """What is said of an item: it, or None; what became of it; and why."""
        nonlocal cached
        sample = 0 if sample_of is None else sample_of(item)
        try:
            told: Parsed[M] = await client.structured(
                talk_of(item),
                schema if isinstance(schema, type) else schema(item),
                temperature=temperature,
                seed=None if seed is None else seed + sample,
                sample=sample,
                max_tokens=max_tokens,
                more=more,
            )
        except AnswerError as error:
            cached += error.tokens == (0, 0)
            return None, error.kind, str(error)
        except ModelError as error:
            if error.status in not_taken:
                return None, "failed", str(error)
            stopped.append(error)
            return None, "", ""
        cached += told.usage.calls == 0
        wrong = None if check is None else check(item, told.value)
        if wrong is not None:
            return None, "rejected", wrong
        return told.value if made is None else made(item, told), "answered", ""

    async def work(client: AsyncClient, item: T) -> tuple[M | None, str]:
        if stopped or kinds.total() - kinds["answered"] > most:
            return None, ""
        value, state, why = await said(client, item)
        if state:
            kinds[state] += 1
            if progress is not None:
                progress(1)
        some = whys.setdefault(state, []) if why else []
        if why and len(some) < EXAMPLES and why not in some:
            some.append(why)
        return value, state

    found = client.each(items, work)
    spent = since(client.ledger.spent, before)
    cost = spent.cost(client.endpoint.price)
    took = time.monotonic() - began
    asked = Asked([value for value, _ in found], [state for _, state in found], kinds, cached, spent, cost, took, whys)
    if stopped:
        _stop(stopped, asked, client)
    if asked.kinds.total() - asked.kinds["answered"] > most:
        raise DataError(_too_many(asked, max_failed))
    return asked


def since(now: Usage, before: Usage) -> Usage:
    """What was used between two moments."""
    return Usage(**{name: value - getattr(before, name) for name, value in asdict(now).items()})


def _stop(errors: Sequence[ModelError], asked: Asked[Any], client: Client) -> None:
    """Tell why not everything was asked, and what became of the rest.

    Raises:
        BudgetError: The budget was spent.
        ModelError: Something else.
    """
    error = next((one for one in errors if isinstance(one, BudgetError)), errors[0])
    done = asked.kinds.total()
    kept = "nothing keeps the answers: set 'cache' of the model"
    if client.endpoint.cache is not None:
        kept = f"the answers are kept in {client.endpoint.cache}: run it again, and only the rest is asked"
    text = f"{error}; {done:,} of {asked.count:,} prompts were answered, and {kept}"
    if isinstance(error, BudgetError):
        raise BudgetError(text, error.status) from error
    raise ModelError(text, error.status) from error


def _too_many(asked: Asked[Any], most: float) -> str:
    """Says how many could not be used, and why."""
    bad = asked.kinds.total() - asked.kinds["answered"]
    told = [
        f"{asked.kinds[kind]:,} {kind} ({FAILED[kind]}): {'; '.join(asked.whys.get(kind, ()))}"
        for kind in FAILED
        if asked.kinds[kind]
    ]
    return (
        f"{bad:,} of {asked.count:,} answers cannot be used, and 'max_failed' allows {most:.0%}; "
        f"{asked.kinds['answered']:,} can be, and the rest was not asked. {' | '.join(told)}"
    )


def report_path(output: Path) -> Path:
    """Where the report of what is written to a file lies."""
    return output.with_name(f"{output.name}.report.json")


def write_report(
    output: Path,
    tool: str,
    config: BaseModel,
    asked: Mapping[str, tuple[str, Asked[Any]]],
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `<output>.report.json`: what was asked, what came of it, what it took, and what the tool says besides.

    Args:
        output: What the tool has written.
        tool: The tool.
        config: Its section, of which the report has a digest.
        asked: By what it was asked for: the model, and what came of it.
        more: What else the report says.

    Returns:
        What was written.

    Raises:
        RunError: The disk refuses.
    """
    parts = {
        name: {"model": model, **one.as_json(), "tokens": _tokens(one.spent), "cost": one.cost, "seconds": one.seconds}
        for name, (model, one) in asked.items()
    }
    spent = sum((one.spent for _, one in asked.values()), Usage())
    told = {
        "tool": tool,
        "output": output.name,
        "config": key_of(config.model_dump(mode="json"))[:16],
        "models": list(dict.fromkeys(model for model, _ in asked.values())),
        "prompts": parts,
        "tokens": _tokens(spent),
        "cost": sum(one.cost for _, one in asked.values()),
        "seconds": sum(one.seconds for _, one in asked.values()),
        **(more or {}),
    }
    clean: dict[str, Any] = finite(told)
    write_text(report_path(output), json.dumps(clean, indent=2, ensure_ascii=False) + "\n")
    return clean


def _tokens(spent: Usage) -> dict[str, int]:
    """What calls took, by the server's count."""
    return {
        "calls": spent.calls,
        "input": spent.input,
        "output": spent.output,
        "cached_by_server": spent.cached,
        "estimated": spent.estimated,
        "tries_again": spent.tries,
        "hits": spent.hits,
    }


def finite(value: Any) -> Any:
    """Values as JSON has them: what is no number is null, and halves of letters are replaced."""
    if isinstance(value, Mapping):
        return {finite(str(key)): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value
