"""One contestant: eager torch behind plain ASGI on uvicorn, as one would write it first.

`python naive_server.py FOLDER PORT`; the folder holds `deepfm.json`, `deepfm.pt`, `din.json`, `din.pt`. `POST /deepfm`
takes the ids (rows, 26) int64 and then the numbers (rows, 13) float32; `POST /din` the user, its history and the
candidates as int64. The answer is a float32 for each row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from torch import Tensor
from torch_deepfm import DeepFM
from torch_din import DIN

Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """The application.

    Args:
        folder: Sizes and weights of the models.
    """

    def __init__(self, folder: Path) -> None:
        self.spec, self.din_spec = (json.loads((folder / f"{name}.json").read_text()) for name in ("deepfm", "din"))
        self.deepfm, self.din = DeepFM(self.spec).eval(), DIN(**self.din_spec["sizes"]).eval()
        self.deepfm.load_state_dict(torch.load(folder / "deepfm.pt", weights_only=True))
        self.din.load_state_dict(torch.load(folder / "din.pt", weights_only=True))
        self.width = 8 * len(self.spec["categorical"]) + 4 * len(self.spec["numeric"])

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = b""
        if scope["method"] == "POST":
            with torch.inference_mode():
                score = self.score_din if scope["path"] == "/din" else self.score_deepfm
                answer = torch.sigmoid(score(bytearray(body))).numpy().tobytes()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def score_deepfm(self, body: bytearray) -> Tensor:
        rows, ids = len(body) // self.width, len(self.spec["categorical"])
        first = torch.frombuffer(body, dtype=torch.int64, count=rows * ids).view(rows, ids)
        return self.deepfm(first, torch.frombuffer(body, dtype=torch.float32, offset=rows * ids * 8).view(rows, -1))

    def score_din(self, body: bytearray) -> Tensor:
        numbers = torch.from_numpy(np.frombuffer(body, np.int64))
        user, history, items = (
            numbers[:1],
            numbers[1 : 1 + self.din_spec["steps"]],
            numbers[1 + self.din_spec["steps"] :],
        )
        return self.din(user.expand(len(items)), items, history.expand(len(items), -1))


def main() -> None:
    torch.set_num_threads(1)
    app = App(Path(sys.argv[1]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), lifespan="off", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
