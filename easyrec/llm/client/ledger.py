"""What calls cost, and whether there is enough left for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from easyrec.errors import BudgetError
from easyrec.llm.client.endpoint import Budget, Price

MILLION = 1e6


@dataclass(frozen=True)
class Usage:
    """What some calls took.

    Attributes:
        calls: How many were answered.
        input: Tokens sent, as the server counted them.
        output: Tokens received.
        cached: Those of `input` that the server had already.
        estimated: Tokens, among the others, of answers whose server did not count them.
        tries: How many more requests were sent because one had failed.
        hits: Answers that came from the cache; they count nowhere else.
    """

    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    estimated: int = 0
    tries: int = 0
    hits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))

    @property
    def tokens(self) -> int:
        """Sent and received."""
        return self.input + self.output

    def cost(self, price: Price | None) -> float:
        """What it cost."""
        if price is None:
            return 0.0
        had = price.input if price.cached is None else price.cached
        money = (self.input - self.cached) * price.input + self.cached * had + self.output * price.output
        return money / MILLION


class Reservation:
    """What a call may take at most, until it is known what it took.

    Attributes:
        used: What it took; set by whoever made the call.
    """

    def __init__(self, most: Usage) -> None:
        self.most, self.used = most, Usage()


class Meter:
    """What calls took that one piece of work made, whoever else uses the same clients.

    Attributes:
        usage: It.
        cost: By the prices of the endpoints.
    """

    def __init__(self) -> None:
        self.usage, self.cost = Usage(), 0.0


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """What calls take that the block makes and waits for, by any client; of blocks within each other the inner one counts."""
    meter = Meter()
    before = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(before)


class Ledger:
    """What the calls of a client took. Its calls share an event loop.

    Args:
        budget: What they may.
        price: Of a million tokens.

    Attributes:
        spent: What was used up.
    """

    def __init__(self, budget: Budget, price: Price | None) -> None:
        self.budget, self.price = budget, price
        self.spent = Usage()
        self._open = Usage()
        self._settled = asyncio.Condition()

    def cost(self) -> float:
        """What was spent."""
        return self.spent.cost(self.price)

    def note(self, used: Usage) -> None:
        """Count what was used."""
        self.spent += used
        meter = _METER.get()  # a client's loop runs work in the context of who waits for it
        if meter is not None:
            meter.usage += used
            meter.cost += used.cost(self.price)

    @asynccontextmanager
    async def reserve(self, input: int, output: int) -> AsyncIterator[Reservation]:
        """Keep so many tokens for a call; what it really took counts afterwards.

        Where others have reserved what is left, it waits for what they will really take.

        Raises:
            BudgetError: That is not left.
        """
        held = Reservation(Usage(input=input, output=output))
        async with self._settled:
            while (reason := self._over(self.spent + self._open + held.most)) is not None:
                if not self._open.tokens or self._over(self.spent + held.most) is not None:
                    raise BudgetError(f"the call was not sent: {reason}")
                await self._settled.wait()
            self._open += held.most
        try:
            yield held
        finally:
            self._open += Usage(input=-input, output=-output)
            self.note(held.used)
            await asyncio.shield(self._tell())

    async def _tell(self) -> None:
        """Wake those who wait."""
        async with self._settled:
            self._settled.notify_all()

    def _over(self, then: Usage) -> str | None:
        """Why that would be too much, if it would."""
        most = self.budget
        if most.tokens is not None and then.tokens > most.tokens:
            return f"with it up to {then.tokens} tokens would be used, and the budget is {most.tokens}"
        if most.money is not None and then.cost(self.price) > most.money:
            return f"with it up to {then.cost(self.price):.6g} would be spent, and the budget is {most.money:g}"
        return None
