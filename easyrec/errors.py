"""The errors of the library, one hierarchy with the generator's.

FeatureGeneratorError
├── ConfigError       what is configured cannot work                 (exit code 2)
├── DataError         what was read is not what was said             (exit code 3)
└── EasyRecError      everything else a user can mend                (exit code 1)
    ├── RunError          a run's folder or its state does not allow the command
    ├── CheckpointError   a checkpoint is damaged, incomplete or of another model
    ├── BundleError       a bundle is damaged, too new, or does not score as trained  (exit code 3)
    └── MissingExtra      an optional package is not installed
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as metadata_version

from feature_generator.errors import ConfigError, DataError, FeatureGeneratorError, Problem, nearest

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EasyRecError",
    "MissingExtra",
    "Problem",
    "RunError",
    "nearest",
]


class EasyRecError(FeatureGeneratorError):
    """Base of the library's own errors."""


class RunError(EasyRecError):
    """A run's folder or its state does not allow the command."""


class CheckpointError(EasyRecError):
    """A checkpoint is damaged, incomplete or of another model."""


class BundleError(EasyRecError):
    """A bundle is damaged, too new, or does not score as it did when it was trained: bad data."""

    exit_code = 3


class MissingExtra(EasyRecError):  # noqa: N818 (it says what is missing)
    """An optional package is not installed; the message holds the command that installs it.

    Args:
        package: Import name of what is missing.
        extra: Extra of this distribution that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package '{package}': pip install '{distribution()}[{extra}]'")


@cache
def distribution() -> str:
    """Name under which this library was installed."""
    try:
        return packages_distributions()["easyrec"][0]
    except (KeyError, PackageNotFoundError):
        return "easyrec-torch"


def version() -> str:
    """Version of this library as it is installed."""
    try:
        return metadata_version(distribution())
    except PackageNotFoundError:
        return "not installed"
