"""`RegexReplace`: a text with every match of a regular expression replaced."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from feature_generator.config import StrictModel
from feature_generator.operators import BadParameterError, CustomOperator, Form
from feature_generator.text import plain
from feature_generator.text.lists import each
from feature_generator.text.regex import check, replace


class Parameters(StrictModel):
    """Parameters of `RegexReplace`."""

    regex_pattern: str = Field(min_length=1)
    """What is replaced, in the syntax of RE2."""
    replacement: str = ""
    r"""What stands there instead: `\1` .. `\9` are the groups, `\0` the whole match, `\\` a backslash."""


class Operator(CustomOperator):
    """Every value of a text column, its matches replaced; a value that becomes empty is none."""

    parameters = Parameters
    inputs: ClassVar[tuple[int, int]] = (1, 1)
    form: ClassVar[Form] = "text"
    multi_value = True

    @override
    def prepare(self) -> None:
        wrong = check(self.params.regex_pattern, self.params.replacement)
        if wrong is not None:
            raise BadParameterError({"pattern": "regex_pattern", "replacement": "replacement"}[wrong[0]], wrong[1])

    @override
    def __call__(self, *columns: Any) -> Any:
        run = each(lambda texts: replace(texts, self.params.regex_pattern, self.params.replacement))
        return run(list(columns), len(columns[0]))

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        made = [plain.replace(text, self.params.regex_pattern, self.params.replacement) for text in inputs[0]]
        return [text for text in made if text]
