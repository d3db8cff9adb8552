"""A program as a list of calls: what torch.export captured, in JSON and safetensors, and what runs it.

torch's own archive of an exported program is not used: reading one unpickles, and evaluates expressions that the file
holds (`sympy.sympify`), so that whoever writes the file runs code in the reader. A list of calls can only compute.

    program.json           {"format": 1, "inputs": [...], "weights": [...], "calls": [...], "outputs": {...}}
    weights.safetensors    the weights by name

Values are numbered: inputs first, then weights, then the result of each call. In a call `[operator, [argument, ...],
{keyword: argument}]` an argument is a number, text, null, a list, `{"value": n}` for the value numbered n,
`{"dtype": "float32"}`, or `{"float": "inf"}` for a float that JSON cannot write.

One call holds calls: `["repeat", [turns, [carried, ...], [given, ...], {"body": [[call, ...], [result, ...]]}], {}]`.
In a body values are numbered anew: what is carried, what is given, then the result of each call. Its results are what
the next turn carries, and after the last turn the result of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from easyrec.errors import BundleError
from easyrec.export.operators import find
from easyrec.export.strict_json import dump, read_json

FORMAT = 1
PROGRAM = "program.json"
WEIGHTS = "weights.safetensors"

DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
}
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "preserve": torch.preserve_format}
REPEAT = "repeat"


class Value(NamedTuple):
    """The value numbered `number`, as an argument."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call of a program.

    Attributes:
        operator: Its name, e.g. `aten.linear.default`.
        args: Arguments: numbers, texts, None, `Value`, dtypes, memory formats, lists of them.
        kwargs: Keyword arguments; no values among them.
    """

    operator: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Body:
    """What the call `repeat` does each turn, as its argument.

    Attributes:
        calls: In the order in which they run; none of them repeats.
        results: Value numbers of what the next turn carries.
    """

    calls: tuple[Call, ...]
    results: tuple[int, ...]


class _Step(NamedTuple):
    """A call made ready: where the values go in its arguments, and which values nobody reads after it."""

    function: Callable[..., Any]
    args: list[Any]
    keywords: dict[str, Any]
    direct: tuple[tuple[int, int], ...]  # (position, value number)
    nested: tuple[tuple[int, Any], ...]  # positions of lists that hold values
    free: tuple[int, ...]


class _Block:
    """Calls over some given values, made ready to run.

    Args:
        calls: The calls.
        given: How many values there are before the first call.
        results: By how they are told in errors, numbers of the values wanted.
        inside: Whether the calls are the body of a `repeat`, where none may repeat.

    Raises:
        ValueError: A call reads what does not exist.
    """

    def __init__(self, calls: Sequence[Call], given: int, results: Mapping[str, int], *, inside: bool = False) -> None:
        last_use = {}
        for index, call in enumerate(calls):
            for number in numbers_in((call.args, tuple(call.kwargs.values()))):
                if not 0 <= number < given + index:
                    raise ValueError(f"call {index} reads value {number}, which does not exist yet")
                last_use[number] = index
        for name, number in results.items():
            if type(number) is not int or not 0 <= number < given + len(calls):
                raise ValueError(f"{name} is value {number}, which does not exist")
            last_use.pop(number, None)
        self.results = tuple(results.values())
        self._steps = []
        for index, call in enumerate(calls):
            direct = tuple((i, a.number) for i, a in enumerate(call.args) if isinstance(a, Value))
            nested = tuple((i, a) for i, a in enumerate(call.args) if isinstance(a, list) and numbers_in(a))
            if numbers_in(list(call.kwargs.values())):
                raise ValueError(f"call {index} has a value as a keyword's argument")
            free = tuple(n for n, last in last_use.items() if last == index)
            function, args = find(call.operator) if call.operator != REPEAT else _repeat, list(call.args)
            if call.operator == REPEAT:
                args[3:] = [_body(call, inside=inside)]
            elif any(isinstance(a, Body) for a in args):
                raise ValueError(f"call {index} has a body, but a body belongs to a repeat")
            self._steps.append(_Step(function, args, dict(call.kwargs), direct, nested, free))

    def __call__(self, values: list[Any]) -> list[Any]:
        """The results; `values` is used up."""
        for function, args_template, keywords, direct, nested, free in self._steps:
            args = args_template.copy()
            for position, number in direct:
                args[position] = values[number]
            for position, template in nested:
                args[position] = filled(template, values)
            values.append(function(*args, **keywords))
            for number in free:
                values[number] = None
        return [values[number] for number in self.results]


def _body(call: Call, *, inside: bool) -> _Block:
    """The body of a `repeat`, made ready."""
    match call.args:
        case [Value(), list() as carried, list() as given, Body() as body] if not inside and not call.kwargs:
            if len(body.results) != len(carried):
                raise ValueError(f"a repeat carries {len(carried)} values, but its body gives {len(body.results)}")
            results = {f"result {i} of a repeat": number for i, number in enumerate(body.results)}
            return _Block(body.calls, len(carried) + len(given), results, inside=True)
    raise ValueError("a repeat takes turns, what is carried, what is given, and a body that does not repeat")


def _repeat(turns: Tensor, carried: list[Any], given: list[Any], body: _Block) -> list[Any]:
    """The carried values after some turns; they are no more than the rows of the largest value, so that it ends."""
    most = max((v.shape[0] for v in (*carried, *given) if isinstance(v, Tensor) and v.dim()), default=0)
    if turns > most:
        raise ValueError(f"a repeat of {int(turns)} turns over values of at most {most} rows")
    for _ in range(int(turns)):
        carried = body([*carried, *given])
    return carried


def result_of(call: Call, values: Sequence[Any]) -> Any:
    """What a call gives over the values before it."""
    args = [filled(argument, values) for argument in call.args if not isinstance(argument, Body)]
    if call.operator == REPEAT:
        turns, carried, given = args
        return _repeat(turns, carried, given, _body(call, inside=False))
    return find(call.operator)(*args, **call.kwargs)


class Program:
    """A pure function of named tensors. Safe to call from several threads.

    Args:
        inputs: Names of the inputs.
        weights: Fixed values by name.
        calls: In the order in which they run.
        outputs: Value numbers by name.
    """

    def __init__(
        self, inputs: Sequence[str], weights: Mapping[str, Tensor], calls: Sequence[Call], outputs: Mapping[str, int]
    ) -> None:
        self.inputs, self.weights, self.calls, self.outputs = tuple(inputs), dict(weights), tuple(calls), dict(outputs)
        results = {f"output '{name}'": number for name, number in outputs.items()}
        self._block = _Block(self.calls, len(self.inputs) + len(self.weights), results)

    def __call__(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the calls.

        Raises:
            KeyError: An input is missing.
        """
        values: list[Any] = [tensors[name] for name in self.inputs]
        values += self.weights.values()
        with torch.inference_mode():
            return dict(zip(self.outputs, self._block(values), strict=True))

    def save(self, folder: Path) -> None:
        """Write `program.json` and `weights.safetensors` into an existing folder."""
        description = {
            "format": FORMAT,
            "torch": torch.__version__,
            "inputs": list(self.inputs),
            "weights": list(self.weights),
            "calls": _encode_calls(self.calls),
            "outputs": self.outputs,
        }
        (folder / PROGRAM).write_bytes(dump(description))
        # safetensors refuses tensors that share memory, as tied weights do
        safetensors.torch.save_file(
            {k: v.detach().clone().contiguous() for k, v in self.weights.items()}, folder / WEIGHTS
        )

    @staticmethod
    def load(folder: Path) -> Program:
        """Read what `save` wrote.

        Raises:
            BundleError: A file is damaged, or the program calls what programs may not call.
        """
        file = folder / PROGRAM
        data = read_json(file)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BundleError(f"{file}: is no program of format {FORMAT}")
        try:
            if not all(isinstance(name, str) for name in (*data["inputs"], *data["weights"])):
                raise ValueError("inputs and weights must be names")
            weights = safetensors.torch.load_file(folder / WEIGHTS)
            calls = _decode_calls(data["calls"])
            ordered = {name: weights[name] for name in data["weights"]}
            return Program(data["inputs"], ordered, calls, data["outputs"])
        except BundleError as error:
            raise BundleError(f"{file}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{file}: is damaged: {error}") from None
        except (OSError, safetensors.SafetensorError) as error:
            raise BundleError(f"{folder / WEIGHTS}: cannot be read: {error}") from None


def numbers_in(argument: Any) -> list[int]:
    """Numbers of the values in an argument."""
    if isinstance(argument, Value):
        return [argument.number]
    return [n for a in argument for n in numbers_in(a)] if isinstance(argument, list | tuple) else []


def filled(template: Any, values: Sequence[Any]) -> Any:
    """An argument with values in the place of their numbers."""
    if isinstance(template, Value):
        return values[template.number]
    return [filled(t, values) for t in template] if isinstance(template, list) else template


# --------------------------------------------------------------------------------------- arguments as JSON


def _encode_calls(calls: Sequence[Call]) -> list[Any]:
    return [[c.operator, _encode(c.args), _encode(dict(c.kwargs))] for c in calls]


def _encode(argument: Any) -> Any:
    if isinstance(argument, Value):
        return {"value": argument.number}
    if isinstance(argument, Body):
        return {"body": [_encode_calls(argument.calls), list(argument.results)]}
    if isinstance(argument, dict):
        return {k: _encode(v) for k, v in argument.items()}
    if isinstance(argument, list | tuple):
        return [_encode(a) for a in argument]
    if isinstance(argument, torch.dtype):
        return {"dtype": str(argument).removeprefix("torch.")}
    if isinstance(argument, torch.memory_format):
        return {"memory_format": next(k for k, v in MEMORY_FORMATS.items() if v is argument)}
    if isinstance(argument, float) and argument - argument != 0.0:  # inf - inf and nan - nan are nan
        return {"float": str(argument)}
    return argument


def _decode_calls(data: Any) -> tuple[Call, ...]:
    return tuple(Call(name, tuple(_decode(args)), _decode_keywords(kwargs)) for name, args, kwargs in data)


def _decode(data: Any) -> Any:
    if isinstance(data, list):
        return [_decode(d) for d in data]
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "value" and type(content) is int:
        return Value(content)
    if kind == "dtype":
        return DTYPES[content]
    if kind == "memory_format":
        return MEMORY_FORMATS[content]
    if kind == "float" and content in ("inf", "-inf", "nan"):
        return float(content)
    if kind == "body":
        calls, results = content
        return Body(_decode_calls(calls), tuple(results))
    raise ValueError(f"no argument of a call: {str(data)[:100]}")


def _decode_keywords(data: Any) -> dict[str, Any]:
    return {name: _decode(value) for name, value in data.items()}
