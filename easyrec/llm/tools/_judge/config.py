"""The section `judge` of `llm.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.llm.client import Endpoint
from easyrec.llm.templates import template_of
from feature_generator.config import StrictModel

Template = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(template_of)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Column = Annotated[str, Field(min_length=1)]


class Criterion(StrictModel):
    """One thing that is judged, with words for each grade."""

    name: Name
    question: str = Field(min_length=1, max_length=2000)
    """What is asked."""
    scale: dict[int, str] = Field(min_length=2, max_length=11)
    """What each grade means; larger is better."""
    weight: float = Field(1.0, gt=0.0)
    """In the overall score."""

    @field_validator("name", mode="after")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if hasattr(BaseModel, value) or value.startswith("model_") or value == "overall":
            raise ValueError(f"'{value}' is a word of schemas and reports: take another one")
        return value

    @field_validator("scale", mode="after")
    @classmethod
    def _has_words(cls, value: dict[int, str]) -> dict[int, str]:
        if any(not words.strip() for words in value.values()):
            raise ValueError("each grade needs words that say what it means")
        return dict(sorted(value.items()))

    def share(self, grade: float) -> float:
        """A grade on a scale from 0 to 1."""
        low, high = min(self.scale), max(self.scale)
        return (grade - low) / (high - low)


class Compare(StrictModel):
    """Which of two systems does better at the same thing."""

    question: str = Field("Which answer is better, by all of the criteria together?", min_length=1, max_length=2000)
    baseline: str | None = None
    """Others are compared with this system alone; default: each with each."""


class People(StrictModel):
    """What people have found, with the id (and the system) of what they judged."""

    path: str = Field(min_length=1)
    """A row per thing and person; the same columns `id` and `system` as in the input."""
    grades: dict[Name, Column] = Field({}, max_length=50)
    """By criterion the column of their grades."""
    preferred: Column | None = None
    """The column that names the preferred system, or `tie`, of a comparison; then `systems` are needed."""
    systems: tuple[Column, Column] | None = None
    """The two columns that name what was compared."""
    person: Column | None = None
    """The column that tells people apart."""
    map: Literal["isotonic", "linear"] = "isotonic"
    """How grades of the judges are mapped to those of people."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.grades and self.preferred is None:
            raise ValueError("needs 'grades' or 'preferred': the columns of what people have found")
        if (self.preferred is None) != (self.systems is None):
            raise ValueError("'preferred' and 'systems' go together")
        return self


class Config(StrictModel):
    """What is judged, by which criteria, by which models, and how often."""

    input: str = Field(min_length=1)
    """The table: Parquet, CSV or JSON lines; a row for each thing that is judged."""
    output: str = Field(min_length=1)
    """The Parquet file of grades; beside it verdicts of comparisons, a report and a page."""
    id: Column
    """The column that says what a row is an answer to, such as a request or a query."""
    system: Column | None = None
    """The column that says whose answer it is, where there are several."""
    given: dict[Name, Template] = Field({}, max_length=20)
    """What the answer was made of, by a name and a template of columns; the same for all systems."""
    shown: dict[Name, Template] = Field(min_length=1, max_length=20)
    """The answer itself."""
    task: str = Field("", max_length=10_000)
    """What the judge is told of what it judges."""
    rubric: list[Criterion] = Field(min_length=1, max_length=20)
    how: list[Literal["grade", "compare"]] = Field(["grade"], min_length=1)
    """`grade`: each answer by the rubric; `compare`: two systems' answers, each pair in both orders."""
    together: bool = True
    """Whether one question asks for the grades of all criteria, or one for each."""
    compare: Compare = Compare()
    judges: list[Endpoint] = Field([], max_length=10)
    """The models that judge; default: `model`."""
    votes: int = Field(1, ge=1, le=25)
    """How often each judge is asked the same."""
    vote_temperature: float = Field(0.7, ge=0.0, le=2.0)
    """How freely it speaks where it is asked more than once."""
    controls: int = Field(0, ge=0, le=10_000)
    """So many answers are also graded under the id of another one: a judge that does not see that is of no use."""
    sample: int | None = Field(None, ge=1)
    """So many ids are drawn; default: all."""
    longest: int = Field(4000, ge=10, le=1_000_000)
    """Letters of a text that the judge is shown."""
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of votes that may be none before the command fails."""
    people: People | None = None
    level: float = Field(0.95, gt=0.5, lt=1.0)
    """How often intervals hold the true value."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [one.name for one in self.rubric]
        if len(set(names)) < len(names):
            raise ValueError("two criteria have the same name")
        if "compare" in self.how and self.system is None:
            raise ValueError("'how: [compare]' needs 'system': the column that says whose answer a row is")
        if len(set(self.how)) < len(self.how):
            raise ValueError("'how' names the same twice")
        both = set(self.given) & set(self.shown)
        if both:
            raise ValueError(f"'given' and 'shown' both have '{min(both)}'")
        if self.controls and "grade" not in self.how:
            raise ValueError("'controls' are graded: they need 'how: [grade]'")
        for name in () if self.people is None else self.people.grades:
            if name not in names:
                raise ValueError(f"people.grades: there is no criterion '{name}'{nearest(name, names)}")
        return self
