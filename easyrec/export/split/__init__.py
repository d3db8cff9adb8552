"""A program for requests: what is the same for all candidates is computed once, with one row, the rest with a row each.

The pass reads a stored program call by call, knows of each value whether it follows from the user's side alone, and writes
another program. No model knows of it. What it does is algebra, exact but for the order of sums:

- calls over the user's side alone stay as they are, over one row;
- columns of both sides side by side stay apart as long as calls work by column; a matrix that multiplies them is cut, so that
  the user's part of the product is computed once and added;
- layers over (candidates, steps) have the steps last, as `turned` says;
- a sequence of the user is not repeated for each candidate: a step's value and a candidate's value that meet broadcast over
  (candidates, steps), a matrix over several of them is cut too, and weights times steps, summed over steps, are a product
  of matrices.

Where a call cannot be told apart, its operands are put together and it runs as it was; a sequence that cannot stay apart
is repeated as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from easyrec.embedding.sides import USER
from easyrec.export.calls import Program
from easyrec.export.split.rules import RULES
from easyrec.export.split.turned import turned
from easyrec.export.split.values import TogetherError, UnsplittableError
from easyrec.export.split.writer import Pass, SplitProgram

__all__ = ["SplitProgram", "split_program"]


def split_program(
    program: Program, example: Mapping[str, Tensor], of_user: Mapping[str, Sequence[bool]], sequences: Sequence[str]
) -> SplitProgram | None:
    """The program for requests; None where nothing would be computed once.

    Args:
        program: The original.
        example: Inputs of it, of some rows.
        of_user: By key of an input with columns, whether each column is of the user's side.
        sequences: The sequences of the user's side, as `<group>/<sequence>`.
    """
    apart = list(sequences)
    while True:
        try:
            split = Pass(program, example, of_user, apart, RULES).run()
        except TogetherError as told:
            if told.key not in apart:
                return None
            apart.remove(told.key)
            continue
        except UnsplittableError:
            return None
        if split is None:
            return None
        return SplitProgram(
            _turned(split.program, example, of_user), tuple(key for key in sequences if key not in apart)
        )


def _turned(program: Program, example: Mapping[str, Tensor], of_user: Mapping[str, Sequence[bool]]) -> Program:
    """The program with the steps of the user's sequences last in what it computes of them."""
    lengths = {len(example[name.removeprefix(USER)]) for name in program.inputs if name.startswith(f"{USER}seq:")}
    if len(lengths) != 1:
        return program
    (num_steps,) = lengths
    given = {name: _side_of(name, example, of_user) for name in program.inputs}
    return turned(program, given, num_steps)


def _side_of(name: str, example: Mapping[str, Tensor], of_user: Mapping[str, Sequence[bool]]) -> Tensor:
    """An input of a program for requests, of those of a program for rows."""
    side, _, key = name.partition("/")
    tensor, kind = example[key], key.partition(":")[0]
    mine = side + "/" == USER
    if kind in ("seq", "rows", "offsets"):
        of_one = {"seq": tensor, "rows": torch.zeros_like(tensor), "offsets": tensor[[0, -1]]}
        return of_one[kind] if mine else tensor
    columns = torch.tensor([own is mine for own in of_user[key]], dtype=torch.bool)
    return tensor[:1, columns] if mine else tensor[:, columns]
