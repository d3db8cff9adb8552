"""An MLP of a peer into our keys."""

from __future__ import annotations

from typing import Any

from easyrec.convert.message import Message
from easyrec.convert.report import Report

ACTIVATIONS = {
    "relu": "relu",
    "leakyrelu": "leaky_relu",
    "prelu": "prelu",
    "dice": "dice",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}


def mlp(message: Message, report: Report, *, batch_norm: bool) -> dict[str, Any]:
    """`hidden`, `activation`, `dropout`, `batch_norm`, `layer_norm`.

    Args:
        message: The MLP.
        report: Where to say what is not carried.
        batch_norm: Whether the peer normalises unless told otherwise.
    """
    found: dict[str, Any] = {"hidden": message.integers("hidden_units") or [256, 128]}
    found["activation"] = activation(message, report)
    rates = message.numbers("dropout_ratio")
    if rates and max(rates) > 0:
        found["dropout"] = float(max(rates))
        if len(set(rates)) > 1:
            why = f"one rate for all layers here, the largest: {max(rates)}"
            report.add("changed", message, "dropout_ratio", why)
    if message.flag("use_bn", default=batch_norm):
        found["batch_norm"] = True
    if message.flag("use_ln"):
        found["layer_norm"] = True
    if not message.flag("bias", default=True):
        report.add("changed", message, "bias", "layers have biases")
    report.lose(
        message,
        {
            "last_layer_no_activation": "every layer has its activation",
            "last_layer_no_batch_norm": "every layer is normalised alike",
        },
    )
    return found


def activation(message: Message, report: Report, field: str = "activation") -> str:
    """The activation in a field, by our name."""
    text = message.text(field, "relu")
    name = text.split(",")[0].rpartition(".")[2].replace("_", "").lower()
    if name not in ACTIVATIONS:
        report.add("changed", message, field, f"'{text}' is unknown, relu stands in its place")
        return "relu"
    return ACTIVATIONS[name]


def attention(
    message: Message | None, report: Report, *, drop_last: bool = False, batch_norm: bool = False
) -> dict[str, Any]:
    """The encoder `din` with the layers of a peer's attention unit.

    Args:
        message: The MLP that scores a step.
        report: Where to say what is not carried.
        drop_last: Whether a last layer of one unit is the score itself, which ours adds on its own.
        batch_norm: Whether the peer normalises unless told otherwise.
    """
    encoder: dict[str, Any] = {"type": "din"}
    if message is not None:
        hidden = message.integers("hidden_units")
        if drop_last and hidden[-1:] == [1]:
            hidden = hidden[:-1]
        encoder["hidden"] = hidden or [36]
        encoder["activation"] = activation(message, report)
        why = "the layers of an attention unit are neither normalised nor thinned out"
        if message.flag("use_bn", default=batch_norm):
            report.add("changed", message, "use_bn" if message.has("use_bn") else "", why)
        report.lose(message, dict.fromkeys(("dropout_ratio", "use_ln"), why))
    else:
        encoder |= {"hidden": [128, 64, 32], "activation": "relu"}
    return encoder | {"softmax": True}
