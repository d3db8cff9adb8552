"""Losses of both peers, and the type of task that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from easyrec.config.model import DEFAULT_LOSSES
from easyrec.convert.message import Message
from easyrec.convert.report import Report
from feature_generator.config import member

UNKNOWN = "is not there: the default loss of the task's type is in its place"


@dataclass(frozen=True)
class Found:
    """A loss of the source.

    Attributes:
        name: Their name of it, in lower case.
        loss: Ours, None for the default of the task's type.
        weight: Its share in the task's loss.
        message: The message that names it.
        field: The field there.
    """

    name: str
    loss: dict[str, Any] | None
    weight: float
    message: Message
    field: str


def of_torcheasyrec(message: Message, report: Report, columns: Mapping[str, str]) -> list[Found]:
    """The losses of a model or tower.

    Args:
        message: What has `losses`.
        report: Where to say what is not there.
        columns: Feature -> the raw column that it reads; theirs names sessions by a feature.
    """
    found = []
    for holder in message.messages("losses"):
        for name in holder.names():
            inner = holder.message(name) or Message(holder.line, path=holder.path, file=holder.file)
            loss: dict[str, Any] | None = None
            smoothing = float(inner.number("label_smoothing"))
            if name in ("binary_cross_entropy", "softmax_cross_entropy") and smoothing:
                kind = "bce" if name.startswith("binary") else "cross_entropy"
                loss = {"type": kind, "label_smoothing": smoothing}
            elif name == "binary_focal_loss":
                loss = {"type": "focal", "gamma": float(inner.number("gamma", 2.0))}
                loss["alpha"] = float(inner.number("alpha", 0.5))
            elif name == "jrc_loss":
                session = inner.text("session_name")
                loss = {"type": "jrc", "alpha": float(inner.number("alpha", 0.5))}
                loss["by"] = columns.get(session, session)
            elif name not in ("binary_cross_entropy", "softmax_cross_entropy", "l2_loss"):
                report.add("lost", holder, name, UNKNOWN)
            found.append(Found(name, loss, 1.0, holder, name))
    return found


def of_easyrec(message: Message, report: Report) -> list[Found]:
    """The losses of a model or tower."""
    named = [(message.text("loss_type"), 1.0, message)] if message.has("loss_type") else []
    named += [(h.text("loss_type"), float(h.number("weight", 1.0)), h) for h in message.messages("losses")]
    found = []
    for name, weight, holder in named:
        loss = None
        if name in _EASYREC:
            field, make = _EASYREC[name]
            inner = next((m for h in (holder, message) if (m := h.message(field)) is not None), None)
            loss = make(inner or Message(holder.line, path=holder.path, file=holder.file))
        elif name not in _DEFAULTS:
            report.add("lost", holder, "loss_type", f"{name} {UNKNOWN}")
        found.append(Found(name.lower(), loss, weight, holder, "loss_type"))
    return found


def _session(inner: Message) -> dict[str, Any]:
    return {"by": inner.text("session_name")} if inner.has("session_name") else {}


def _focal(inner: Message) -> dict[str, Any]:
    alpha = {"alpha": float(inner.number("alpha"))} if inner.has("alpha") else {}
    return {"type": "focal", "gamma": float(inner.number("gamma", 2.0)), **alpha}


def _f1(inner: Message) -> dict[str, Any]:
    return {"type": "f1", "beta": math.sqrt(inner.number("f1_beta_square", 1.0))}


def _pairwise(kind: str, numbers: Mapping[str, tuple[str, float]]) -> Callable[[Message], dict[str, Any]]:
    def make(inner: Message) -> dict[str, Any]:
        found = {ours: float(inner.number(theirs, default)) for ours, (theirs, default) in numbers.items()}
        return {"type": kind, **_session(inner), **found}

    return make


_TEMPERATURE = {"temperature": ("temperature", 1.0)}
_EASYREC: dict[str, tuple[str, Callable[[Message], dict[str, Any]]]] = {
    "BINARY_FOCAL_LOSS": ("binary_focal_loss", _focal),
    "F1_REWEIGHTED_LOSS": ("f1_reweighted_loss", _f1),
    "PAIR_WISE_LOSS": ("pairwise_loss", _pairwise("pairwise_logistic", {"margin": ("margin", 0.0)})),
    "PAIRWISE_LOGISTIC_LOSS": (
        "pairwise_logistic_loss",
        _pairwise("pairwise_logistic", {**_TEMPERATURE, "margin": ("hinge_margin", 0.0)}),
    ),
    "PAIRWISE_HINGE_LOSS": (
        "pairwise_hinge_loss",
        _pairwise("pairwise_hinge", {**_TEMPERATURE, "margin": ("margin", 1.0)}),
    ),
    "PAIRWISE_FOCAL_LOSS": (
        "pairwise_focal_loss",
        _pairwise("pairwise_focal", {**_TEMPERATURE, "gamma": ("gamma", 2.0)}),
    ),
    "LISTWISE_RANK_LOSS": ("listwise_rank_loss", _pairwise("softmax", _TEMPERATURE)),
    "JRC_LOSS": ("jrc_loss", _pairwise("jrc", {"alpha": ("alpha", 0.5)})),
    "ZILN_LOSS": ("ziln_loss", lambda inner: {"type": "ziln"}),
}
"""Their loss -> the message of its keys, and what it is here."""
_DEFAULTS = (
    "CLASSIFICATION",
    "CROSS_ENTROPY_LOSS",
    "L2_LOSS",
    "SOFTMAX_CROSS_ENTROPY",
    "BINARY_CROSS_ENTROPY_LOSS",
)
"""Their losses that are the defaults of the task's type here."""


def typed(found: Sequence[Found], classes: int, report: Report) -> dict[str, Any]:
    """A task's type, classes and loss, from the losses of the source and its number of classes."""
    kind = _kind([each.name for each in found], classes)
    default = DEFAULT_LOSSES.get(kind["type"], kind["type"])
    terms: list[tuple[dict[str, Any], float]] = []
    outputs = None
    for each in found:
        loss = each.loss or {"type": default}
        config = member("easyrec.losses", loss["type"]).Config(**loss)
        if kind["type"] not in config.task_types:
            why = f"'{loss['type']}' is not for tasks of type {kind['type']}"
            report.add("lost", each.message, each.field, why)
        elif outputs not in (None, config.num_outputs(kind.get("num_classes"))):
            why = f"'{loss['type']}' reads another number of outputs than '{terms[0][0]['type']}', so they have no sum"
            report.add("lost", each.message, each.field, why)
        elif (loss, each.weight) not in terms:
            outputs = config.num_outputs(kind.get("num_classes"))
            terms.append((loss, each.weight))
    if len(terms) > 1 or (terms and terms[0][1] != 1.0):
        parts = [{"loss": loss, **({"weight": weight} if weight != 1.0 else {})} for loss, weight in terms]
        return {**kind, "loss": {"type": "sum", "losses": parts}}
    if not terms or terms[0][0] == {"type": default}:
        return kind
    return {**kind, "loss": terms[0][0]}


def _kind(names: Sequence[str], classes: int) -> dict[str, Any]:
    if any("l2" in name for name in names):
        return {"type": "regression"}
    if any("ziln" in name for name in names):
        return {"type": "ziln"}
    if classes > 1 and not any(name.startswith(("jrc", "binary", "f1", "pair", "listwise")) for name in names):
        return {"type": "multiclass", "num_classes": classes}
    return {"type": "binary"}
