"""Where a loss that is no number comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from easyrec.batch import Batch, Embedded
from easyrec.errors import DataError, EasyRecError, RunError


def diagnose(
    step: int, loss: float, batch: Batch, inputs: Embedded, logits: Mapping[str, Tensor], model: nn.Module
) -> EasyRecError | DataError:
    """The error for a loss that is NaN or infinite: names the step and the first thing that was not finite.

    Args:
        step: The step that was about to be made, from 1.
        loss: The loss.
        batch: What came from the data.
        inputs: The batch after lookup.
        logits: What the model made of it.
        model: The dense part.
    """
    head = f"step {step}: the loss is {loss}"
    for column, values in _data(batch):
        row = first_bad_row(values)
        if row is not None:
            bad = values[row].reshape(-1)
            value = float(bad[~bad.isfinite()][0])
            return DataError(f"{head}; the first bad input is {value} in row {row} of the batch", column=column)
    for name, parameter in model.named_parameters():
        if first_bad_row(parameter.detach()) is not None:
            return RunError(f"{head}; all inputs are finite, but the weight '{name}' is not: {_ADVICE}")
    for key, values in inputs.tensors.items():
        row = first_bad_row(values.detach()) if values.is_floating_point() else None
        if row is not None:
            return RunError(f"{head}; all inputs are finite, but the embeddings of '{key}' are not: {_ADVICE}")
    for name, values in logits.items():
        row = first_bad_row(values.detach())
        if row is not None:
            return RunError(f"{head}; inputs and weights are finite, but the logit '{name}' is not: {_ADVICE}")
    return RunError(f"{head}; inputs, weights and logits are finite: look at the loss and the task weights")


_ADVICE = "training diverged; a lower learning rate, warm-up steps or train.grad_clip help"


def _data(batch: Batch) -> Iterator[tuple[str, Tensor]]:
    for name, columns in batch.dense_slices.items():
        yield name, batch.dense[:, columns]
    for name, jagged in {**batch.sparse, **batch.sequences}.items():
        if jagged.values.is_floating_point():
            yield name, jagged.values
        if jagged.weights is not None:
            yield name, jagged.weights
    for name, label in batch.labels.items():
        yield name, label
    if batch.sample_weight is not None:
        yield "sample_weight", batch.sample_weight


def first_bad_row(values: Tensor) -> int | None:
    """Index of the first row that holds NaN or an infinity."""
    bad = ~values.isfinite()
    if not bool(bad.any()):
        return None
    return int(bad.reshape(bad.shape[0], -1).any(dim=1).nonzero()[0]) if bad.dim() else 0
