"""Ctrl-C and SIGTERM: finish the step, save, say how to resume."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from typing_extensions import Self

from easyrec.errors import RunError


class Interrupted(RunError):  # noqa: N818 (it says what happened)
    """Training was stopped by a signal after its state was saved."""

    exit_code = 130


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets `name`; a second one interrupts at once.

    A `patient` one lets the later ones pass: torchrun passes on what the terminal has sent already, and kills by itself.
    It also sends SIGTERM as soon as one worker has ended, while another is about to say what became of it: an error of
    the kind `told` ends the process, which lets signals pass until then.

    In a thread other than the main one signals are not ours to handle: there it does nothing.

    Attributes:
        name: Name of the signal that came, or None.
    """

    def __init__(self, *, patient: bool = False, told: type[Exception] | None = None) -> None:
        self.patient, self.told = patient, told
        self.name: str | None = None
        self._former: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self.patient and self.told is not None and isinstance(error, self.told)):
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        self._former.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.name is not None and self.patient:
            return
        if self.name is not None:
            self._restore()
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
