"""What the sections ask of the parts of the data, beyond their rows."""

from __future__ import annotations

from easyrec.config.evaluation import EvalConfig
from easyrec.config.train import Cosine, Plateau, TrainConfig
from easyrec.errors import Problem

NO_ROWS = Problem("training needs a source of rows", "data.train")
NO_ITEMS = Problem(
    "users are compared with the items of a catalogue, one row each: items: {type: parquet, path: ...}", "data.items"
)


def unmet(
    train: TrainConfig, evaluation: EvalConfig, *, valid: bool, counted: bool, steps: bool, endless: bool = False
) -> list[Problem]:
    """What is asked for and cannot be done with the data that is there; each `where` is a dotted path.

    Args:
        train: The `train` section.
        evaluation: The `eval` section.
        valid: Whether there is a part to evaluate on.
        counted: Whether the number of rows of an epoch is known before they are read.
        steps: Whether the number of its batches is.
        endless: Whether the rows to learn from have no end.
    """
    found: list[Problem] = []

    def ask(where: str, text: str, *, unless: bool) -> None:
        if not unless:
            found.append(Problem(text, where))

    for name, schedule in (("dense", train.dense_optimizer.schedule), ("sparse", train.sparse_optimizer.schedule)):
        where = f"train.{name}_optimizer.schedule"
        if isinstance(schedule, Plateau):
            ask(where, "a plateau needs data.valid", unless=valid)
        if isinstance(schedule, Cosine) and schedule.steps is None and train.steps is None:
            text = "only reading tells how long this training is: give the schedule its 'steps'"
            ask(where, text, unless=steps)
    if train.early_stop is not None:
        ask("train.early_stop", "needs data.valid", unless=valid)
    if evaluation.calibration is not None:
        ask("eval.calibration", "is fitted on data.valid, and there is none", unless=valid)
    for where, epochs in (
        ("epochs", train.epochs),
        ("evaluate_every", train.evaluate_every.epochs),
        ("checkpoint.every", train.checkpoint.every.epochs),
    ):
        if epochs is not None and epochs != int(epochs):
            text = "parts of an epoch cannot be told here, as only reading tells the number of rows: give whole epochs"
            ask(f"train.{where}", text, unless=counted or endless)
        if endless and epochs is not None:
            text = "the rows have no end, and an epoch of them neither: count in 'steps'"
            text += "" if where == "epochs" else " or 'seconds'"
            ask(f"train.{where}", text, unless=where == "evaluate_every" and not valid)
    return found
