"""`once`: a property that is computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from typing_extensions import Self

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 (it is used as `property` is)
    """A property that is computed once, under the `_lock` of its object, which is an `RLock`.

    `functools.cached_property` holds a lock of the class before Python 3.12: requests would wait for each other, and forever
    where one such property asks for another.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self.__doc__ = make, make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Self | T:
        """The value; later it is found in the object's dictionary before anybody comes here."""
        if instance is None:
            return self
        held: dict[str, T] = instance.__dict__
        with instance._lock:
            if self._name not in held:
                held[self._name] = self._make(instance)
            return held[self._name]
