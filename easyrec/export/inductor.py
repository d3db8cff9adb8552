"""A stored program as machine code by AOTInductor, and what runs it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from easyrec.batch import as_tensor
from easyrec.embedding.sides import USER
from easyrec.errors import BundleError, RunError
from easyrec.export.calls import REPEAT, Program, filled
from easyrec.export.operators import find
from easyrec.export.placed import in_bf16
from easyrec.export.strict_json import dump, read_json

PACKAGE, NAMES = "program.pt2", "names.json"


class _Calls(nn.Module):
    """A program over positional tensors, as torch.export wants it."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        for number, tensor in enumerate(program.weights.values(), len(program.inputs)):
            self.register_buffer(f"weight{number}", tensor)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        first = len(self.program.inputs)
        values: list[Any] = [*tensors, *(getattr(self, f"weight{first + i}") for i in range(len(self.program.weights)))]
        for call in self.program.calls:
            values.append(find(call.operator)(*(filled(a, values) for a in call.args), **call.kwargs))
        return tuple(values[number] for number in self.program.outputs.values())


def compile_program(program: Program, inputs: Mapping[str, Tensor], folder: Path, *, bf16: bool) -> None:
    """Compile a program for this machine, for any number of rows and steps.

    Args:
        program: What is computed.
        inputs: Example inputs.
        folder: Where the package goes.
        bf16: Compute products in bf16.

    Raises:
        RunError: It cannot be compiled, or there is no compiler.
    """
    if any(call.operator == REPEAT for call in program.calls):
        raise RunError("AOTInductor is not given programs with loops")
    positional = tuple(inputs[name] for name in program.inputs)
    # What a request has once stays one row, its sequences' steps apart.
    dynamic = tuple({0: Dim.AUTO if name.startswith(USER) else Dim.DYNAMIC} for name in program.inputs)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about what it has deprecated
            exported = export(_Calls(in_bf16(program) if bf16 else program), positional, dynamic_shapes=(dynamic,))
            torch._inductor.aoti_compile_and_package(
                exported, package_path=str(folder / PACKAGE), inductor_configs={"cpp.threads": 1}
            )
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise RunError(f"AOTInductor cannot compile the program: {(str(error).splitlines() or [''])[0]}") from error
    (folder / NAMES).write_bytes(dump({"inputs": list(program.inputs), "outputs": list(program.outputs)}))


class Package:
    """Machine code of a bundle. Safe to call from several threads: several runners share its weights.

    Args:
        folder: Where `compile_program` put it. Loading it runs what its writer wants.
        runners: How many; default: as many as there are processors, at most 8.

    Raises:
        BundleError: It is damaged.
    """

    def __init__(self, folder: Path, runners: int | None = None) -> None:
        from torch._inductor.package.package import load_package  # noqa: PLC0415 (imports the compiler)

        try:
            names = read_json(folder / NAMES)
            self.inputs, self.outputs = [str(n) for n in names["inputs"]], [str(n) for n in names["outputs"]]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._model = load_package(str(folder / PACKAGE), num_runners=runners or min(8, os.cpu_count() or 1))
        except (RuntimeError, LookupError, TypeError, OSError) as error:
            raise BundleError(f"{folder}: cannot be loaded: {(str(error).splitlines() or [''])[0]}") from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, float32.

        Raises:
            BundleError: The code does not fit its inputs.
        """
        try:
            with torch.inference_mode():
                found = self._model(*(as_tensor(np.ascontiguousarray(inputs[name])) for name in self.inputs))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the program cannot be run: {(str(error).splitlines() or [''])[0]}") from error
        return {name: tensor.float().numpy() for name, tensor in zip(self.outputs, found, strict=True)}
