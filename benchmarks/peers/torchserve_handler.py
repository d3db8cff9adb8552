"""TorchServe's handler of the DeepFM: the ids (rows, 26) int64 and then the numbers (rows, 13) float32, as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

IDS, NUMBERS = 26, 13


class Handler:
    """What a worker runs."""

    def initialize(self, context: Any) -> None:
        torch.set_num_threads(1)
        folder = Path(context.system_properties["model_dir"])
        self.model = torch.jit.load(str(folder / context.manifest["model"]["serializedFile"]))
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        answers = []
        with torch.inference_mode():
            for request in data:
                body = bytearray(request["body"])
                rows = len(body) // (8 * IDS + 4 * NUMBERS)
                ids = torch.frombuffer(body, dtype=torch.int64, count=rows * IDS).view(rows, IDS)
                numbers = torch.frombuffer(body, dtype=torch.float32, offset=rows * IDS * 8).view(rows, NUMBERS)
                answers.append(self.model(ids, numbers).numpy().tobytes())
        return answers
