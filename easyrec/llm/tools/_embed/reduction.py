"""`Reduction`: vectors with fewer numbers, the same way for the first rows and for those that come later."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.durable import write_bytes
from easyrec.errors import DataError, RunError

FORMAT = 1
TINY = 1e-12


class Moments:
    """Mean and covariance of vectors that come in pieces, in double precision.

    Args:
        width: d of the vectors.
    """

    def __init__(self, width: int) -> None:
        self.count, self.mean = 0, np.zeros(width)
        self._products = np.zeros((width, width))

    def add(self, vectors: np.ndarray) -> None:
        """Take in a piece.

        Source:
            Chan, Golub, LeVeque, "Updating formulae", 1979, eq. (2.1): of two pieces about their own means.
        """
        if not len(vectors):
            return
        some = vectors.astype(np.float64)
        mean = some.mean(axis=0)
        centred = some - mean
        total, apart = self.count + len(some), mean - self.mean
        self._products += centred.T @ centred + np.outer(apart, apart) * (self.count * len(some) / total)
        self.mean += apart * (len(some) / total)
        self.count = total

    def components(self, number: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Principal components (d, n), their variances (n,), and their share of all variance."""
        values, vectors = np.linalg.eigh(self._products / max(1, self.count))
        order = np.argsort(-values, kind="stable")[:number]
        chosen = vectors[:, order]
        largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(len(order))]
        chosen = chosen * np.where(largest < 0, -1.0, 1.0)  # that a fit is the same on every machine
        variances = np.maximum(values[order], 0.0)
        return chosen, variances, float(variances.sum() / max(TINY, np.maximum(values, 0.0).sum()))


class Reduction:
    """What is done to vectors, (n, width) float32 to (n, dim) float32.

    Args:
        model: Digest of the embedder.
        width: Numbers of its vectors.
        told: `pca`, `whiten`, `truncate` and `normalise`.
        mean: (width,) that is taken away first, where there is a projection.
        projection: (width, dim), or None.
        explained: Share of the variance that is left.

    Attributes:
        digest: Of all that: equal digests, equal spaces.
    """

    def __init__(
        self,
        model: str,
        width: int,
        told: dict[str, Any],
        mean: np.ndarray | None = None,
        projection: np.ndarray | None = None,
        explained: float | None = None,
    ) -> None:
        self.model, self.width, self.told, self.explained = model, width, told, explained
        self._mean, self._projection = mean, projection
        digest = hashlib.sha256(json.dumps([FORMAT, model, width, told], sort_keys=True).encode())
        for array in (mean, projection):
            digest.update(b"" if array is None else np.ascontiguousarray(array, "<f4").tobytes())
        self.digest = digest.hexdigest()

    @classmethod
    def fitted(cls, model: str, told: dict[str, Any], moments: Moments) -> Reduction:
        """One that is learned.

        Raises:
            DataError: There are too few vectors, or they have fewer numbers.
        """
        number, width = told["pca"], len(moments.mean)
        if number > width:
            raise DataError(f"pca: {number} components, but the embedder's vectors have {width} numbers")
        if moments.count < number:
            raise DataError(
                f"pca: {number} components are learned of as many texts at least, but here are {moments.count}"
            )
        chosen, variances, explained = moments.components(number)
        if told["whiten"]:
            chosen = chosen / np.sqrt(np.maximum(variances, variances[0] * 1e-9 + TINY))
        return cls(model, width, told, moments.mean.astype(np.float32), chosen.astype(np.float32), explained)

    @property
    def dim(self) -> int:
        """Numbers that are left."""
        if self._projection is not None:
            return int(self._projection.shape[1])
        return min(self.width, self.told["truncate"] or self.width)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(n, width) float32 to (n, dim) float32."""
        made = vectors[:, : self.dim] if self._projection is None else (vectors - self._mean) @ self._projection
        if self.told["normalise"]:
            made = made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), TINY)
        return np.ascontiguousarray(made, np.float32)

    def save(self, path: Path) -> None:
        """Write it, all of it or nothing; no pickle.

        Raises:
            RunError: The disk refuses.
        """
        about = {"format": FORMAT, "model": self.model, "width": self.width, "told": self.told}
        about["explained"] = self.explained
        arrays = {"mean": self._mean, "projection": self._projection, "about": np.array(json.dumps(about))}
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:  # as numpy.savez, but the same bytes at any time
            for name, array in arrays.items():
                if array is not None:
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        write_bytes(path, held.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reduction:
        """Read it.

        Raises:
            RunError: It is none, or damaged.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                if about["format"] != FORMAT:
                    raise RunError(f"{path}: another version of the library wrote it")
                arrays = {name: held[name] if name in held.files else None for name in ("mean", "projection")}
                return cls(about["model"], about["width"], about["told"], **arrays, explained=about["explained"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{path}: is no reduction that `easyrec llm embed` wrote: {error}") from None
