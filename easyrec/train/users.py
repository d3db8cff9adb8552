"""Users who ask for items, sent from one worker to another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from safetensors.numpy import load, save

from easyrec.retrieval.ranking import Users
from easyrec.workers import Workers

_SLICE = "slice/"


def users_of_all(workers: Workers, mine: Users) -> Iterator[Users]:
    """The users of all workers, one worker's after another's, on the first one; nothing on the others."""
    data = _to_bytes(mine) if len(mine.offsets) > 1 else b""
    for part in workers.collected(np.frombuffer(data, np.uint8)) or ():
        if len(part):
            yield _from_bytes(part.tobytes(), mine.vectors.device)


def _to_bytes(users: Users) -> bytes:
    arrays = {"vectors": users.vectors.cpu().numpy(), "wanted": users.wanted, "offsets": users.offsets}
    if users.spared is not None and users.spared_offsets is not None:
        arrays |= {"spared": users.spared, "spared_offsets": users.spared_offsets}
    arrays |= {f"{_SLICE}{name}": rows for name, rows in users.slices.items()}
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _from_bytes(data: bytes, device: torch.device) -> Users:
    arrays = load(data)
    slices = {name.removeprefix(_SLICE): rows for name, rows in arrays.items() if name.startswith(_SLICE)}
    vectors = torch.from_numpy(arrays["vectors"]).to(device)
    spared = arrays.get("spared"), arrays.get("spared_offsets")
    return Users(vectors, arrays["wanted"], arrays["offsets"], *spared, slices)
