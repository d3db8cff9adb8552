"""What `store.yaml` says of samples: exposures, what may follow them, for how long, and where the joined rows go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.duration import Duration
from easyrec.store.streams import EventsConfig
from feature_generator.config import Choice, StrictModel, fault

CORRECTION = "correction"
"""Column that says whether a row takes the place of a former one."""


class Exposures(EventsConfig):
    """Events that become samples."""

    keep: list[str] | None = Field(None, min_length=1)
    """Which of the columns are kept. Default: all."""
    features: str | None = None
    """A model, whose features are read from the online store when an exposure comes, and kept."""

    @model_validator(mode="after")
    def _kept(self) -> Self:
        for place, name in enumerate(self.keep or ()):
            self.check(name, "keep", place)
        return self

    @property
    def kept(self) -> list[str]:
        """Columns of a sample that are the exposure's."""
        return self.keep or list(self.columns)


class Label(EventsConfig):
    """Events that make a sample positive."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,79}$")
    """The sample's column: 1 where there is such an event, else 0. `<name>_time` is the first one's time."""
    of: str | None = None
    """The label whose events these follow. Default: they follow exposures."""
    keys: list[str] | None = Field(None, min_length=1)
    """Columns that these events share with those that they follow. Default: the samples' keys."""
    window: Annotated[Duration, Field(gt=0.0)]
    """How long after the event that it follows one counts."""

    @property
    def window_micros(self) -> int:
        """Microseconds of the window."""
        return round(self.window * 1e6)


class SampleConfig(StrictModel):
    """Samples: each exposure with what followed it."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,79}$")
    keys: list[str] = Field(min_length=1)
    """Columns that an exposure and what follows it share: a request and an item, or a user and an item. What follows belongs to
    the latest exposure before it."""
    exposures: Exposures
    labels: list[Label] = Field(min_length=1)
    wait: Annotated[Duration, Field(gt=0.0)] | None = None
    """How long after its exposure a sample is made. Default: until nothing may follow any more."""
    late: Literal["drop", "correct"] = "drop"
    """What becomes of what follows an exposure whose sample was made already: it is counted, or the sample is made again."""
    correct_for: Annotated[Duration, Field(gt=0.0)] = 86_400.0
    """Of `correct`: how late events may come, in event time."""
    output: Annotated[Any, Choice("easyrec.stream.sinks")]
    """Where samples go."""
    state: Annotated[Any, Choice("easyrec.stream.state", default="sqlite")] | None = None
    """Where is kept what has been read, and what waits. Default: a file of SQLite called like the samples."""
    description: str = ""

    @field_validator("labels", mode="after")
    @classmethod
    def _in_order(cls, value: list[Label]) -> list[Label]:
        known: list[str] = []
        for place, label in enumerate(value):
            if label.name in known or label.name == "exposure":
                raise fault(f"two are called '{label.name}'", place, "name")
            if label.of is not None and label.of not in known:
                told = f"'{label.of}' is no label before this one{nearest(label.of, known)}"
                raise fault(told, place, "of")
            known.append(label.name)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for place, name in enumerate(self.keys):
            self.exposures.check(name, "keys", place)
        kept = {*self.exposures.kept, CORRECTION}
        for place, name in enumerate(self.keys):
            if name not in kept:
                raise fault(f"'{name}' must be kept: it tells a sample from another", "keys", place)
        own = [one for events in (self.exposures, *self.labels) for one in events.columns if one.startswith("__")]
        if own:
            raise ValueError(f"column '{own[0]}': names that begin with __ are ours")
        for place, label in enumerate(self.labels):
            parent = self.exposures if label.of is None else self.label(label.of)
            for name in self.keys_of(label):
                for events, whose in ((label, f"label '{label.name}'"), (parent, "what it follows")):
                    if name not in events.columns:
                        told = f"'{name}' is no column of {whose}{nearest(name, events.columns)}"
                        raise fault(told, "labels", place, "keys")
            for name in (label.name, f"{label.name}_time"):
                if name in kept:
                    raise fault(f"a sample has a column '{name}' already", "labels", place, "name")
                kept.add(name)
        return self

    def label(self, name: str) -> Label:
        """The label of a name."""
        return next(label for label in self.labels if label.name == name)

    def keys_of(self, label: Label) -> list[str]:
        """Columns that a label's events share with those that they follow."""
        return label.keys or self.keys

    def children_of(self, name: str | None) -> list[Label]:
        """Labels whose events follow those of another, or exposures."""
        return [label for label in self.labels if label.of == name]

    def horizon(self, name: str | None = None) -> int:
        """Microseconds after an event, of a label or an exposure, within which anything may follow it."""
        return max((label.window_micros + self.horizon(label.name) for label in self.children_of(name)), default=0)

    @property
    def wait_micros(self) -> int:
        """Microseconds from an exposure until its sample."""
        return self.horizon() if self.wait is None else round(self.wait * 1e6)

    @property
    def correct_micros(self) -> int:
        """Microseconds by which events may be late."""
        return round(self.correct_for * 1e6) if self.late == "correct" else 0
