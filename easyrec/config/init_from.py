"""The key `train.init_from`: whose parameters training starts from."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import Field, field_validator

from feature_generator.config import StrictModel


class InitFrom(StrictModel):
    """Another run, and what of it is taken over."""

    path: str = Field(min_length=1)
    """A run, one of its checkpoints, or a bundle."""
    rename: dict[str, str] = {}
    """Name there -> name here, of parameters and tables; a `*` at the end of both stands for the rest of a name."""
    skip: list[str] = []
    """Names here that start anew; `*` stands for anything."""
    optimizer: bool = False
    """Take over what the optimizers keep of it too, and go on as if training had not ended."""

    @field_validator("rename")
    @classmethod
    def _rests_on_both_sides(cls, value: dict[str, str]) -> dict[str, str]:
        for there, here in value.items():
            if there.endswith("*") != here.endswith("*") or "*" in there[:-1] or "*" in here[:-1]:
                raise ValueError(f"'{there}: {here}': a '*' stands at the end of both names, or of none")
        return value

    def name_here(self, there: str) -> str:
        """What a name of the other run is called here."""
        if there in self.rename:
            return self.rename[there]
        for pattern, here in self.rename.items():
            if pattern.endswith("*") and there.startswith(pattern[:-1]):
                return here[:-1] + there.removeprefix(pattern[:-1])
        return there

    def skips(self, here: str) -> bool:
        """Whether a name here starts anew."""
        return matches(here, self.skip)


def matches(name: str, patterns: list[str]) -> bool:
    """Whether a name is among names in which `*` stands for anything."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
