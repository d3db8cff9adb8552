"""The requests of `serving.py`: the same questions in the words of each contestant, as whole HTTP requests in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

REQUESTS, CANDIDATES = 32, 200
BYTES = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
KINDS = {"int64": "INT64", "float32": "FP32"}
"""What the Open Inference Protocol calls numpy's types."""


def write(folder: Path, number: int, path: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Write a request."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())])
    (folder / f"{number:03}.http").write_bytes(head.encode() + b"\r\n\r\n" + body)


def write_infer(folder: Path, number: int, model: str, tensors: Mapping[str, np.ndarray], binary: bool) -> None:
    """Write a request of the Open Inference Protocol, its tensors as bytes or as JSON."""
    inputs: list[dict[str, Any]] = []
    for name, array in tensors.items():
        entry = {"name": name, "datatype": KINDS[array.dtype.name], "shape": list(array.shape)}
        own = {"parameters": {"binary_data_size": array.nbytes}} if binary else {"data": array.reshape(-1).tolist()}
        inputs.append(entry | own)
    asked = {"inputs": inputs} | ({"parameters": {"binary_data_output": True}} if binary else {})
    text, path = json.dumps(asked, separators=(",", ":")).encode(), f"/v2/models/{model}/infer"
    if binary:
        body = b"".join([text, *(array.tobytes() for array in tensors.values())])
        write(folder, number, path, body, BYTES | {"Inference-Header-Content-Length": str(len(text))})
    else:
        write(folder, number, path, text, JSON)


def write_deepfm_requests(
    folder: Path,
    raw: pa.Table,
    ids: np.ndarray,
    numbers: np.ndarray,
    of_user: tuple[int, int],
    score: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Write requests for the DeepFM, and the probabilities that a plain model answers.

    Args:
        folder: Where they go.
        raw: Rows of raw columns.
        ids: (rows, 26) int64, what the first raw columns hash to.
        numbers: (rows, 13) float32, the further raw columns.
        of_user: How many of the first ids and numbers belong to the user.
        score: The plain model.
    """
    names, rng = [name for name in raw.column_names if name != "label"], np.random.default_rng(1)
    id_names, number_names = names[: ids.shape[1]], names[ids.shape[1] :]
    user = {*id_names[: of_user[0]], *number_names[: of_user[1]]}
    answers = []
    for k in range(REQUESTS):
        rows = rng.integers(0, len(ids), CANDIDATES)
        all_ids, all_numbers = ids[rows], numbers[rows]
        all_ids[:, : of_user[0]], all_numbers[:, : of_user[1]] = (
            ids[rows[0], : of_user[0]],
            numbers[rows[0], : of_user[1]],
        )
        with torch.inference_mode():
            answers.append(score(torch.from_numpy(all_ids), torch.from_numpy(all_numbers)).numpy())
        body = all_ids.tobytes() + all_numbers.tobytes()
        write(folder / "requests" / "naive", k, "/deepfm", body, BYTES)
        write(folder / "requests" / "torchserve", k, "/predictions/deepfm", body, BYTES)
        both = {"ids": all_ids, "numbers": all_numbers}
        write_infer(folder / "requests" / "peers_binary", k, "deepfm", both, binary=True)
        write_infer(folder / "requests" / "peers_json", k, "deepfm", both, binary=False)
        columns = [*zip(id_names, all_ids.T, strict=True), *zip(number_names, all_numbers.T, strict=True)]
        split = {name: np.ascontiguousarray(values[:1] if name in user else values) for name, values in columns}
        for model in ("ids", "chosen"):
            write_infer(folder / "requests" / f"{model}_binary", k, model, split, binary=True)
        write_infer(folder / "requests" / "ids_json", k, "ids", split, binary=False)
        of_items = raw.select([name for name in names if name not in user]).take(rows)
        once = raw.select([name for name in names if name in user]).take(rows[:1]).to_pylist()[0]
        for form, items in (("objects", of_items.to_pylist()), ("columns", of_items.to_pydict())):
            asked = json.dumps({"user": once, "items": items}, separators=(",", ":"))
            write(folder / "requests" / f"raw_{form}", k, "/models/raw/predict", asked.encode(), JSON)
        by_key = json.dumps({"user": once, "items": rows.tolist()}, separators=(",", ":"))
        for model in ("keyed", "layered"):
            write(folder / "requests" / model, k, f"/models/{model}/predict", by_key.encode(), JSON)
    np.save(folder / "deepfm.npy", np.stack(answers))


def write_din_requests(
    folder: Path, histories: np.ndarray, items: int, score: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    """Write requests for the DIN, and the probabilities that a plain model answers.

    Args:
        folder: Where they go.
        histories: (rows, L) int64, a user's items each.
        items: How many items there are.
        score: The plain model, of logits.
    """
    rng, answers = np.random.default_rng(2), []
    for k in range(REQUESTS):
        user, history, candidates = np.array([k]), histories[k], rng.integers(0, items, CANDIDATES)
        tiled = [np.repeat(user, CANDIDATES), candidates, np.tile(history, (CANDIDATES, 1))]
        with torch.inference_mode():
            answers.append(torch.sigmoid(score(*map(torch.from_numpy, tiled))).numpy())
        body = b"".join(array.tobytes() for array in (user, history, candidates))
        write(folder / "requests" / "naive_din", k, "/din", body, BYTES)
        tensors = {"user_id": user, "item_id": candidates, "click_seq__item_id": history[None]}
        write_infer(folder / "requests" / "din_binary", k, "din", tensors, binary=True)
    np.save(folder / "din.npy", np.stack(answers))
