"""What is wrong with a pipeline before it runs: inputs that nobody gives, of another type, or given for nothing."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_type_hints

from feature_generator.config import Path_, member, members

FAMILY = "rag.steps"
ANSWER = "answer"
"""The port that a pipeline is for."""


@dataclass(frozen=True)
class Signature:
    """The ports of a step.

    Attributes:
        needs: What it takes, with its type.
        takes: What it takes where it is there.
        gives: What it gives.
    """

    needs: Mapping[str, Any]
    takes: Mapping[str, Any]
    gives: Mapping[str, Any]


def signature_of(step: Any) -> Signature:
    """The ports of a step's class."""
    return _signature(step)


@cache
def _signature(step: Hashable) -> Signature:
    run = getattr(step, "speak", None) or getattr(step, "run", None)
    if run is None:
        return Signature({}, {}, {})
    hints = get_type_hints(run)
    made = hints.pop("return")
    made = get_args(made)[2] if getattr(made, "__name__", "") == "Generator" else made
    parameters = [p for p in inspect.signature(run).parameters.values() if p.name not in ("self", "note")]
    needs = {p.name: hints[p.name] for p in parameters if p.default is p.empty}
    takes = {p.name: hints[p.name] for p in parameters if p.default is not p.empty}
    return Signature(needs, takes, get_type_hints(made) if hasattr(made, "_fields") else {})


def branches_of(config: Any) -> Mapping[str, Sequence[Any]]:
    """The branches of a step that has some."""
    branches = getattr(config, "branches", None)
    return {name: branch.steps for name, branch in branches.items()} if isinstance(branches, Mapping) else {}


def all_of(steps: Iterable[Any]) -> Iterator[Any]:
    """Steps, and those of their branches."""
    for step in steps:
        yield step
        for branch in branches_of(step).values():
            yield from all_of(branch)


@dataclass
class _Port:
    """A port that has a value.

    Attributes:
        type: Of it.
        sure: Whether it is there whatever branch was taken.
    """

    type: Any
    sure: bool = True


@dataclass
class _State:
    """What is there at some place of a pipeline.

    Attributes:
        ports: What steps may take.
        unread: Where ports were given that nobody has taken yet, by port.
        ended: Whether it has answered.
    """

    ports: dict[str, _Port]
    unread: dict[str, list[tuple[Path_, str]]] = field(default_factory=dict)
    ended: bool = False

    def copy(self) -> _State:
        """The same, for a branch."""
        return _State(dict(self.ports), {port: list(places) for port, places in self.unread.items()}, self.ended)


Fault = tuple[str, Path_]


def faults_of(steps: Sequence[Any], given: Mapping[str, Any], where: Path_ = ("pipeline",)) -> list[Fault]:
    """Everything wrong with a pipeline.

    Args:
        steps: Their configs.
        given: The ports that a run begins with, with their types.
        where: Where the steps stand in the document.

    Returns:
        What is wrong, and where.
    """
    found: list[Fault] = []
    state = _State({name: _Port(type) for name, type in given.items()})
    _walk(steps, state, where, found)
    if not state.ended:
        found.append(("no step answers\nadd the step 'answer' at the end", where))
    for port, places in state.unread.items():
        if port != ANSWER:
            found += [(f"'{name}' gives '{port}', which no step behind it takes", place) for place, name in places]
    return found


def lacking(steps: Sequence[Any], *, model: bool, reranker: bool, where: Path_ = ("pipeline",)) -> list[Fault]:
    """Steps that lack what only another part of the config could say.

    Args:
        steps: Their configs.
        model: Whether there is a model that answers.
        reranker: Whether `search` has a reranker.
        where: Where the steps stand in the document.
    """
    found: list[Fault] = []
    for number, config in enumerate(steps):
        here = (*where, number)
        if not model and ANSWER not in signature_of(config.step_of()).gives and config.asks():
            found.append((f"'{config.called}' asks a model\nsay which: 'llm', here or beside 'pipeline'", here))
        if config.type == "rerank" and config.reranker is None and not reranker:
            found.append((f"'{config.called}' needs the key 'reranker', here or in 'search'", here))
        for name, inside in branches_of(config).items():
            found += lacking(inside, model=model, reranker=reranker, where=(*here, "branches", name, "steps"))
    if len(where) == 1 and reranker and not any(config.type == "rerank" for config in all_of(steps)):
        found.append(("'search.reranker' is given, but no step reranks\nadd the step 'rerank' behind 'search'", where))
    return found


def _walk(steps: Sequence[Any], state: _State, where: Path_, found: list[Fault]) -> None:
    """Go through steps, and change the state."""
    for number, config in enumerate(steps):
        here = (*where, number)
        ports = signature_of(config.step_of())
        if state.ended and ANSWER not in ports.needs:
            found.append((f"'{config.called}' stands behind the answer, and does nothing with it", here))
            continue
        _take(config, ports, state, here, found)
        branches = branches_of(config)
        if branches:
            _fork(config, branches, state, here, found)
            continue
        for port, type in ports.gives.items():
            if port in ports.needs or port in ports.takes or port not in state.unread:
                state.unread.pop(port, None)
            else:
                for place, name in state.unread[port]:
                    found.append((f"'{name}' gives '{port}', which '{config.called}' gives anew untaken", place))
            state.ports[port] = _Port(type)
            state.unread[port] = [(here, config.called)]
        state.ended = state.ended or ANSWER in ports.gives


def _take(config: Any, ports: Signature, state: _State, here: Path_, found: list[Fault]) -> None:
    """Whether what a step takes is there."""
    for port, type in {**ports.needs, **ports.takes}.items():
        there = state.ports.get(port)
        state.unread.pop(port, None)
        if there is None or not there.sure:
            if port in ports.needs:
                only = "" if there is None else " in every branch"
                found.append(
                    (f"'{config.called}' needs '{port}', which no step before it gives{only}{_who(port)}", here)
                )
        elif there.type != type:
            text = f"'{config.called}' takes '{port}' as {_named(type)}, but it is given as {_named(there.type)}"
            found.append((text, here))


def _fork(config: Any, branches: Mapping[str, Sequence[Any]], state: _State, here: Path_, found: list[Fault]) -> None:
    """Go through the branches of a step; a branch that answers ends the pipeline."""
    ends: list[_State] = []
    answered: list[_State] = []
    for name, steps in branches.items():
        inside = state.copy()
        _walk(steps, inside, (*here, "branches", name, "steps"), found)
        (answered if inside.ended else ends).append(inside)
    for port in list(state.unread):  # what one branch takes was not given for nothing
        if any(port not in inside.unread for inside in (*ends, *answered)):
            del state.unread[port]
    state.ended = not ends
    names = dict.fromkeys(port for inside in ends for port in inside.ports)
    for port in names:
        own = [inside.ports[port] for inside in ends if port in inside.ports]
        kinds = {repr(one.type) for one in own}
        if len(kinds) > 1:
            found.append((f"the branches of '{config.called}' give '{port}' as different types", here))
        state.ports[port] = _Port(own[0].type, len(own) == len(ends) and all(one.sure for one in own))
    for inside in (*ends, *answered):
        for port, places in inside.unread.items():
            if inside.ended and port != ANSWER:
                found += [(f"'{name}' gives '{port}', which no step behind it takes", p) for p, name in places]
            elif port != ANSWER:
                known = state.unread.setdefault(port, [])
                known += [place for place in places if place not in known]


def _who(port: str) -> str:
    """Who would give a port."""
    signatures = {name: signature_of(member(FAMILY, name).Config.step_of()) for name in members(FAMILY)}
    givers = [name for name, ports in signatures.items() if port in ports.gives and port not in ports.needs]
    return f"\nit is given by: {', '.join(givers)}" if givers else ""


def _named(kind: Any) -> str:
    """A type as people read it."""
    return kind.__name__ if inspect.isclass(kind) else str(kind).replace("typing.", "")
