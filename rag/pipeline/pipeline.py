"""`Pipeline`: runs steps one after the other, and traces them."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

from rag.pipeline.tools import Tools
from rag.pipeline.trace import Note, Trace, Traced, shown
from rag.pipeline.wiring import ANSWER, branches_of, signature_of
from rag.steps import Step, StepConfig

Values = dict[str, Any]
"""Ports with what is in them."""


class Pipeline:
    """Steps, opened once. Any number of threads may run it.

    Args:
        configs: They, checked already.
        tools: With what they work.
        within: Stands before their names in traces.

    Raises:
        EasyRecError: A step cannot be opened.
    """

    def __init__(self, configs: Sequence[StepConfig], tools: Tools, within: str = "") -> None:
        self._steps: list[tuple[str, Step[Any], dict[str, Pipeline]]] = []
        for config in configs:
            name = within + config.called
            inside = {
                branch: Pipeline(steps, tools, f"{name}/{branch}/") for branch, steps in branches_of(config).items()
            }
            self._steps.append((name, config.open(tools), inside))

    def run(self, values: Values, traced: list[Traced], *, until_answer: bool = False) -> Generator[str, None, bool]:
        """Run the steps.

        Args:
            values: What is there at first; what steps give is put in.
            traced: Gets what ran.
            until_answer: Whether to stop before the first step that answers.

        Yields:
            The answer's words, where no later step may change them.

        Returns:
            Whether nothing further is to run: it was answered, or would be now.
        """
        for number, (name, step, branches) in enumerate(self._steps):
            ports = signature_of(type(step))
            if until_answer and ANSWER in ports.gives:
                return True
            if branches:
                chosen = self._choose(name, step, values, traced)
                if (yield from branches[chosen].run(values, traced, until_answer=until_answer)):
                    return True
                continue
            last = not any(ANSWER in signature_of(type(later)).gives for _, later, _ in self._steps[number + 1 :])
            yield from _ran(name, step, values, traced, last)
        return ANSWER in values

    def _choose(self, name: str, step: Step[Any], values: Values, traced: list[Traced]) -> str:
        """The branch that is taken."""
        for _ in _ran(name, step, values, traced, False):
            pass
        return str(values.pop("branch"))


def _ran(name: str, step: Any, values: Values, traced: list[Traced], aloud: bool) -> Generator[str, None, None]:
    """Run one step, and write down what it did; also where it fails."""
    ports = signature_of(type(step))
    inputs = {port: values[port] for port in (*ports.needs, *ports.takes) if port in values}
    note, begun, gave = Note(), time.perf_counter(), dict[str, Any]()
    try:
        if hasattr(step, "speak"):
            words = step.speak(note, **inputs)
            while True:
                try:
                    piece = next(words)
                except StopIteration as end:
                    gave = end.value._asdict()
                    break
                if aloud:
                    yield piece
        else:
            gave = step.run(note, **inputs)._asdict()
        values.update(gave)
    except GeneratorExit:
        words.close()
        raise
    except Exception as error:
        note.notes["failed"] = shown(f"{type(error).__name__}: {error}")
        raise
    finally:
        traced.append(
            Traced(
                name,
                str(step.config.type),
                time.perf_counter() - begun,
                {port: shown(value) for port, value in inputs.items() if value not in (None, ())},
                {port: shown(value) for port, value in gave.items()},
                note.usage.input,
                note.usage.output,
                note.cost,
                {key: shown(value) for key, value in note.notes.items()},
            )
        )


def trace_of(traced: Sequence[Traced]) -> Trace:
    """A run."""
    return Trace(tuple(traced))
