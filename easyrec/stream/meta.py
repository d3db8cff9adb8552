"""What a state says of itself: of which definition it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from easyrec.errors import StoreError

FORMAT = 1


def read_meta(
    text: bytes | None, shown: str, key: str, definition: Any, begun: Mapping[str, Any], whose: str, anew: str
) -> dict[str, Any]:
    """What a state says of itself, as it begins where it says nothing yet.

    Args:
        text: What is written there.
        shown: What people call the state.
        key: Under which the digest of the definition stands.
        definition: What the state must be of, as JSON takes it.
        begun: What else a new state says.
        whose: Of what the definition is, for errors.
        anew: What to do where it is another one, for errors.

    Raises:
        StoreError: It is of another definition, or of another version of this program.
    """
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    if text is None:
        return {"format": FORMAT, key: digest, **begun}
    meta: dict[str, Any] = json.loads(text)
    if meta["format"] != FORMAT:
        raise StoreError(f"the state {shown} was made by another version of this program")
    if meta[key] != digest:
        told = f"{anew} anew into another state, or return to what it was"
        raise StoreError(f"the state {shown} is of another definition of {whose}: {told}")
    return meta
