"""`kmeans`: each level clusters what the levels before it leave of the vectors."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from easyrec.retrieval.semantic_ids import Quantized, Quantizer, QuantizerConfig
from easyrec.retrieval.semantic_ids._residual import centres, nearest


class Config(QuantizerConfig):
    """Config of `kmeans`."""

    type: Literal["kmeans"] = "kmeans"
    iterations: int = Field(50, gt=0)
    """Steps of k-means on each level."""


class KMeans(Quantizer):
    """``c_m = argmin_c |r_m - e_mc|``, ``r_1 = x - mean(x)``, ``r_{m+1} = r_m - e_{m c_m}``, with the centres e_m of clusters of r_m.

    Source:
        Residual vector quantization: Juang and Gray, "Multiple Stage Vector Quantization for Speech Coding", ICASSP 1982;
        for semantic ids Rajput et al., NeurIPS 2023, appendix on other ways to quantize.
    """

    def quantize(self, vectors: np.ndarray) -> Quantized:
        """The codes."""
        left = vectors - vectors.mean(axis=0)
        whole = max(float(np.square(left).sum(dtype=np.float64)), 1e-30)
        codes, unexplained = [], []
        for level in range(self.config.levels):
            found = centres(left, self.config.codes, self.config.iterations, self.config.seed + level)
            codes.append(nearest(left, found))
            left = left - found[codes[-1]]
            unexplained.append(float(np.square(left).sum(dtype=np.float64)) / whole)
        return Quantized(np.stack(codes, axis=1), np.array(unexplained))
