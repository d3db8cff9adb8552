"""One contestant: the DeepFM's TorchScript program behind PyTriton, two instances.

`python pytriton_server.py PROGRAM HTTP_PORT GRPC_PORT METRICS_PORT`
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

INSTANCES = 2


class Instance:
    """What an instance calls.

    Args:
        path: The program.
    """

    def __init__(self, path: str) -> None:
        self.path, self.program = path, None

    def __call__(self, requests: list) -> list[dict[str, np.ndarray]]:
        if self.program is None:  # in the process of the instance
            torch.set_num_threads(1)
            self.program = torch.jit.load(self.path)
        answers = []
        with torch.inference_mode():
            for request in requests:
                ids, numbers = (torch.from_numpy(np.array(request[name])) for name in ("ids", "numbers"))
                answers.append({"label": self.program(ids, numbers).numpy()})
        return answers


def main() -> None:
    path, (http, grpc, metrics) = sys.argv[1], map(int, sys.argv[2:5])
    ports = TritonConfig(
        http_address="127.0.0.1", http_port=http, grpc_port=grpc, metrics_port=metrics, allow_metrics=False
    )
    with Triton(config=ports) as triton:
        triton.bind(
            model_name="deepfm",
            infer_func=[Instance(path) for _ in range(INSTANCES)],
            inputs=[
                Tensor(name="ids", dtype=np.int64, shape=(-1, 26)),
                Tensor(name="numbers", dtype=np.float32, shape=(-1, 13)),
            ],
            outputs=[Tensor(name="label", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(batching=False),
            strict=False,
        )
        triton.serve()


if __name__ == "__main__":
    main()
