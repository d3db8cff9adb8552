"""MLServer's runtime of the DeepFM: tensors `ids` (rows, 26) and `numbers` (rows, 13)."""

from __future__ import annotations

import numpy as np
import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class DeepFM(MLModel):
    """The TorchScript program."""

    async def load(self) -> bool:
        torch.set_num_threads(1)
        self.program = torch.jit.load(await get_model_uri(self._settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        with torch.inference_mode():
            ids, numbers = (torch.from_numpy(given[name]) for name in ("ids", "numbers"))
            scores = self.program(ids, numbers).numpy()
        output = NumpyCodec.encode_output("label", np.ascontiguousarray(scores))
        return InferenceResponse(model_name=self.name, outputs=[output])
