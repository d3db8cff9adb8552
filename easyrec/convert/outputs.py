"""What the features that were written give to a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from easyrec.convert.pyfg_features import NUMERIC

_IDS = ("hash_bucket_size", "num_buckets", "vocab_list", "vocab_dict", "vocab_file", "boundaries")


@dataclass(frozen=True)
class Output:
    """One output of the features.

    Attributes:
        name: Its name; of a child of a sequence `<sequence>__<child>`.
        sequence: Name of its sequence, "" where it is none.
        dim: Width of its embedding, None where nothing says it.
        numeric: Whether it goes in as a number, without an embedding.
    """

    name: str
    sequence: str
    dim: int | None
    numeric: bool

    @property
    def short(self) -> str:
        """The name inside its sequence."""
        return self.name.removeprefix(f"{self.sequence}__")


def outputs(features: Iterable[Mapping[str, Any]]) -> dict[str, Output]:
    """The outputs of all features but stubs, by name."""
    found: dict[str, Output] = {}
    for feature in features:
        if feature["type"] == "sequence":
            for child in feature["features"]:
                name = f"{feature['name']}__{child['name']}"
                found[name] = _output(name, feature["name"], child)
        elif not feature.get("stub_type"):
            name = feature["name"]
            simple = "sequence_length" in feature or feature.get("tokens_as_sequence")
            found[name] = _output(name, name if simple else "", feature)
    return found


def has_ids(feature: Mapping[str, Any]) -> bool:
    """Whether a feature's values are ids."""
    return any(key in feature for key in _IDS) or feature["type"] not in NUMERIC


def _output(name: str, sequence: str, feature: Mapping[str, Any]) -> Output:
    dim = feature.get("embedding_dim")
    return Output(name, sequence, dim, not has_ids(feature) and dim is None)


def keep_tables_apart(features: Iterable[dict[str, Any]], ending: str) -> None:
    """Rename tables that would be shared here and are not there, or the other way round.

    A feature without `embedding_name` has a table called like its output here, which another feature may name by
    accident; in TorchEasyRec it is called `<output>_emb`, which another may name on purpose.

    Args:
        features: Our features; changed in place.
        ending: Of the names of such tables there; "" where they cannot be named.
    """
    entries: list[tuple[str, dict[str, Any]]] = []
    for feature in features:
        inner = feature.get("features", ())
        entries += [(f"{feature['name']}__{c['name']}", c) for c in inner] or [(feature["name"], feature)]
    named = {entry["embedding_name"] for _, entry in entries if "embedding_name" in entry}
    unnamed = {name for name, entry in entries if "embedding_name" not in entry}
    for name, entry in entries:
        table = entry.get("embedding_name")
        if table in unnamed:
            entry["embedding_name"] = f"{table}_table"
        elif table is None and ending and f"{name}{ending}" in named:
            entry["embedding_name"] = f"{name}{ending}"
