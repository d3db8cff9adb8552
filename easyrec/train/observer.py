"""Who follows a training from outside, one of many whose results alone matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping


class Observer(ABC):
    """Follows a training, and ends it by what it raises. With one, no checkpoint, bundle or report is written."""

    @abstractmethod
    def stepped(self) -> None:
        """A step has been done."""

    @abstractmethod
    def evaluated(self, values: Mapping[str, float], *, improved: bool) -> None:
        """`valid` has been measured.

        Args:
            values: The metrics.
            improved: Whether the state is the one that would be kept: the best so far, or the last where none is.
        """
