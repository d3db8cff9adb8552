"""Encoders of sequences of the peers into ours."""

from __future__ import annotations

from typing import Any

from easyrec.convert import layers
from easyrec.convert.message import Message
from easyrec.convert.report import Report

_UNLIKE = "see docs/models/sequences.md"


def of_torcheasyrec(name: str, encoder: Message, outer: Message, report: Report) -> tuple[dict[str, Any], int]:
    """An encoder's config, and how many steps it reads at most, 0 for all.

    Args:
        name: Their name of it.
        encoder: Its keys.
        outer: The message that has it under that name.
        report: Where to say what is not carried.
    """
    encoder.values("name")
    newest = encoder.integer("max_seq_length")
    if newest:
        report.add("changed", encoder, "max_seq_length", f"the newest {newest} steps are read, there the first ones")
    if name == "din_encoder":
        return layers.attention(encoder.message("attn_mlp"), report), newest
    if name == "pooling_encoder":
        return {"type": "pooling", "pooling": encoder.text("pooling_type", "mean")}, newest
    if name == "simple_attention":
        why = "the dot products of candidate and steps are divided by the root of their width"
        report.add("changed", outer, name, why)
        return {"type": "target_attention"}, newest
    if name == "multi_window_din_encoder":
        return _windows(name, encoder, outer, report), newest
    if name == "self_attention_encoder":
        found = {"type": "self_attention", "heads": encoder.integer("num_heads", 8)}
        found |= {"dropout": float(encoder.number("dropout"))} if encoder.number("dropout") else {}
        why = "a block of a transformer stands in place of attention alone, and is as wide as a step"
        report.add("changed", outer, name, why)
        return {**found, "positions": 0}, newest
    report.add("changed", outer, name, "this encoder is not there: din is in its place", _UNLIKE)
    return {"type": "din", "softmax": True}, newest


def _windows(name: str, encoder: Message, outer: Message, report: Report) -> dict[str, Any]:
    found = layers.attention(encoder.message("attn_mlp"), report) | {"type": "multi_window_din"}
    found.pop("softmax")  # neither they nor we let the weights of a window sum to 1
    found |= {"windows": windows} if (windows := encoder.integers("windows_len")) else {}
    why = "windows are counted from the newest step, there from the first; weights are those of din, without PReLU"
    report.add("changed", outer, name, why)
    return found


def transformer(tower: Message, report: Report) -> tuple[dict[str, Any], int]:
    """EasyRec's tower with a transformer: its encoder, and how many steps it reads."""
    steps = tower.integer("seq_len", 5) - 1
    why = f"the mean of a transformer's outputs, for the newest {steps} steps and the candidate, stands in place of all"
    report.add("changed", tower, "", f"{why} side by side")
    return {"type": "bst", "heads": tower.integer("multi_head_size", 4), "positions": 0}, max(steps, 0)
