"""`EditDistance`: the fewest insertions, deletions and replacements that turn one text into another."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa
from typing_extensions import override

from feature_generator.config import StrictModel
from feature_generator.operators import CustomOperator, Form


class Parameters(StrictModel):
    """Parameters of `EditDistance`."""

    encoding: Literal["utf-8", "latin"] = "utf-8"
    """What is compared: the characters, or with `latin` the bytes of the text in UTF-8."""


class Operator(CustomOperator):
    """Edit distance of the first value of two texts.

    Source:
        Wagner and Fischer, "The String-to-String Correction Problem", JACM 1974.
    """

    parameters = Parameters
    inputs: ClassVar[tuple[int, int]] = (2, 2)
    form: ClassVar[Form] = "text"

    @override
    def native(self) -> tuple[str, dict[str, Any]]:
        return "edit_distance", {"encoding": self.params.encoding}

    @override
    def __call__(self, *columns: Any) -> Any:
        first, second = (column.to_pylist() for column in columns)
        pairs = zip(first, second, strict=True)
        made = [None if a is None or b is None else self._distance(a, b) for a, b in pairs]
        return pa.array(made, pa.int64())

    def _distance(self, first: str, second: str) -> int:
        a: Any = first.encode() if self.params.encoding == "latin" else first
        b: Any = second.encode() if self.params.encoding == "latin" else second
        row = list(range(len(b) + 1))
        for i in range(len(a)):
            above, row = row, [i + 1]
            for j in range(len(b)):
                row.append(min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] != b[j])))
        return row[-1]
