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
    """What adds up dense gradients; `nccl` is for GPUs. Tables go by gloo: they are in the memory of the machines."""
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
    one = "several workers"
    if sections.data.sampler is not None:
        text = f"{one} cannot compare users with sampled items yet: each would see the items of its own rows alone"
        yield Problem(f"{text}\ntrain in one process: leave train.distributed out", "data.sampler")
    elif sections.eval.retrieval is not None:
        yield Problem(
            f"{one} cannot rank a catalogue while they train\nleave it out, and evaluate later", "eval.retrieval"
        )
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
