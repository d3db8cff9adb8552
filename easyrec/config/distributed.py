"""`train.distributed`: how the workers of a job share tables, and what they cannot do together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from easyrec.errors import Problem, nearest
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from easyrec.config.experiment import Sections
    from easyrec.config.model import TaskConfig

Sharding: TypeAlias = Literal["auto", "row", "table", "column", "data_parallel"]

DEFAULT = "default"
"""The key of `sharding` for tables that it does not name."""


class Distributed(StrictModel):
    """Training by several workers, which torchrun starts; one process alone takes no notice of it."""

    sharding: dict[str, Sharding] = {}
    """By `embedding_name`, and `default` for all others: `row`, `table`, `column`, `data_parallel` or [`auto`]."""
    planner: Literal["size", "torchrec"] = "size"
    """Who decides for tables that are `auto`: their size, or TorchRec's planner."""
    backend: Literal["gloo", "nccl"] = "gloo"
    """What adds up gradients on GPUs: `nccl`, or [`gloo`]. What is in the memory of the machines goes by `transport`."""
    transport: Literal["auto", "gloo"] = "auto"
    """What carries rows, and gradients on processors: [`auto`] the memory of the machine where all workers are on one,
    else `gloo`, the network."""
    timeout: float = Field(600.0, gt=0.0)
    """Seconds after which a worker that does not answer is lost, and the job ends."""

    def of(self, table: str) -> Sharding:
        """How a table is shared."""
        return self.sharding.get(table.partition(":")[0], self.sharding.get(DEFAULT, "auto"))


def unfit_distributed(
    sections: Sections,
    tasks: Sequence[TaskConfig],
    tables: Collection[str],
    dynamic: Collection[str],
    compared: Mapping[str, str],
) -> Iterator[Problem]:
    """What stands against training by several workers, by dotted path.

    Args:
        sections: All sections.
        tasks: What is predicted.
        tables: Names of tables.
        dynamic: Names of those that are dynamic.
        compared: By name of tables whose rows a search compares, the sequence.
    """
    train, model, chosen = sections.train, sections.model, sections.train.distributed or Distributed()
    yield from _unmatched(sections)
    if model.propagated_layers() is not None:
        text = f"'{model.type}' reads all rows of its tables at every step, and no worker has all\ntrain in one process"
        yield Problem(text, "model.type")
    if train.task_weighting.type != "fixed":
        text = f"'{train.task_weighting.type}' weighs tasks by their losses in one process, and a worker has those of its rows"
        yield Problem(f"{text}\ntake 'fixed'", "train.task_weighting")
    if train.compile:
        text = "a compiled graph knows no other workers: some of their batches are empty, and batch norm asks all"
        yield Problem(f"{text}\nleave it out", "train.compile")
    if chosen.backend == "nccl" and train.device == "cpu":
        text = "'nccl' adds up gradients on GPUs, but the dense part is trained on the processor"
        yield Problem(f"{text}\ntake 'gloo', or set train.device to 'cuda'", "train.distributed.backend")
    if train.device.startswith("cuda:"):
        text = f"each worker takes a GPU of its own, and '{train.device}' is one"
        yield Problem(f"{text}\nset it to 'cuda'", "train.device")
    known = {table.partition(":")[0] for table in tables}
    for name, kind in chosen.sharding.items():
        where = f"train.distributed.sharding.{name}"
        if name not in known and name != DEFAULT:
            yield Problem(
                f"no table is called '{name}'{nearest(name, known)}; known: {', '.join(sorted(known))}", where
            )
        if name in dynamic and kind not in ("row", "auto"):
            text = f"'{name}' is dynamic, and the hash of an id says which worker holds its row"
            yield Problem(f"{text}\ntake 'row', or leave it out", where)
        if kind == "column" and train.sparse_optimizer.type == "rowwise_adagrad":
            text = "'rowwise_adagrad' keeps one number for a whole row, and by 'column' no worker has one"
            yield Problem(f"{text}\ntake 'row' or 'table', or another optimizer", where)
    for name, sequence in compared.items():
        if chosen.of(name) == "column":
            text = f"sequence '{sequence}' is searched by whole rows of '{name}', and by 'column' no worker has one"
            where = name if name in chosen.sharding else DEFAULT
            yield Problem(f"{text}\ntake 'row' or 'table'", f"train.distributed.sharding.{where}")
    listwise = [(n, t) for n, t in enumerate(tasks) for part in t.loss_config.parts if part.whole_batch]
    for number, task in listwise:
        text = f"the loss of '{task.name}' compares all rows of a batch with one another, and each worker has its own"
        yield Problem(f"{text}\ngive it 'by', so that it compares those of a session", f"model.tasks.{number}.loss")


def _unmatched(sections: Sections) -> Iterator[Problem]:
    """What stands against comparing users with items."""
    model, sampler = sections.model, sections.data.sampler
    if model.searches is not None:
        text = f"'{model.type}' searches items by their codes, which all workers would have to learn and to keep alike"
        yield Problem(f"{text}\ntrain in one process: leave train.distributed out", "model.type")
    elif sampler is not None:
        for part in filter(None, (sampler, getattr(sampler, "beside", None))):
            if part.type == "cross_batch":
                text = "'cross_batch' keeps items of former batches, and another worker had others"
                yield Problem(f"{text}\ntake 'in_batch', 'uniform' or 'popularity'", "data.sampler")
            if getattr(part, "index", None) is not None:
                text = "items near each one are found by one process, anew before an epoch"
                yield Problem(f"{text}\nleave 'index' out, or train in one process", "data.sampler.index")
