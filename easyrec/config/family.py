"""From the config of a family's member to the class that it configures."""

from __future__ import annotations

import inspect
from typing import TypeVar

from feature_generator.config import member
from feature_generator.errors import ConfigError
from feature_generator.plugins import files

T = TypeVar("T")


def implementation(package: str, name: str, of: type[T]) -> type[T]:
    """The class that the file of the member `name` defines over the family's base class `of`.

    Beside its `Config` a member defines exactly one such class, under the name that its paper gives it.

    Raises:
        KeyError: There is no such member.
        ConfigError: A file that is plugged in defines no such class, or several.
        TypeError: So does one of ours.
    """
    module = member(package, name)
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, of) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        text = f"must define one class over {of.__name__}, but defines: {names}"
        plugged = next((str(file.path) for file in files.values() if file.module is module), None)
        if plugged is not None:
            raise ConfigError(text, plugged)
        raise TypeError(f"{module.__name__} {text}")
    return found[0]
