"""What a person sees while training runs: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm

logger = logging.getLogger("easyrec.train")


class Progress:
    """Progress of a training run.

    Args:
        total_steps: Steps that are expected in all, None where nobody knows.
        step: Steps done before.
        bar: Whether to draw a bar; default: whether stderr is a terminal.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self,
        total_steps: int | None,
        step: int = 0,
        *,
        bar: bool | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.total_steps, self.clock = total_steps, clock
        self.samples, self.started = 0, clock()
        self.loss: float | None = None
        shown = sys.stderr.isatty() if bar is None else bar
        self._bar = (
            tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True, leave=False, mininterval=0.2)
            if shown
            else None
        )

    def step(self, samples: int) -> None:
        """A batch has been learned."""
        self.samples += samples
        if self._bar is not None:
            self._bar.update(1)

    def log(
        self,
        step: int,
        epochs: float,
        loss: float,
        lr: Mapping[str, float],
        metrics: Mapping[str, float] | None = None,
    ) -> float:
        """Report the last steps and start counting anew.

        Returns:
            Samples per second since the last report.
        """
        seconds = max(self.clock() - self.started, 1e-9)
        speed = self.samples / seconds
        self.loss = loss
        measured = {name: value for name, value in (metrics or {}).items() if "[" not in name}
        if self._bar is not None:
            shown = "".join(f", {name} {value:.4f}" for name, value in measured.items())
            self._bar.set_postfix_str(f"loss {loss:.4f}{shown}, {speed:,.0f} samples/s", refresh=False)
        else:
            of = f"/{self.total_steps:,}" if self.total_steps else ""
            rates = ", ".join(f"{name} {rate:.3g}" for name, rate in lr.items())
            left = self._left(step, seconds)
            shown = "".join(f", {name} {value:.5f}" for name, value in measured.items())
            logger.info(
                "step %s%s, epoch %.2f: loss %.5f%s, lr %s, %s samples/s%s",
                f"{step:,}", of, epochs, loss, shown, rates, f"{speed:,.0f}", left,
            )  # fmt: skip
        self.restart()
        self._logged = step
        return speed

    _logged = 0

    def _left(self, step: int, seconds: float) -> str:
        done = step - self._logged
        if not self.total_steps or done <= 0:
            return ""
        return f", {duration((self.total_steps - step) * seconds / done)} left"

    def restart(self) -> None:
        """Count samples per second from now on, e.g. after an evaluation."""
        self.samples, self.started = 0, self.clock()

    def say(self, text: str) -> None:
        """A line for people, above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            logger.info("%s", text)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """The time as people say it: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
