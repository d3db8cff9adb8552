"""`manifest.json`: what a bundle is, what it takes and gives, and how exactly it must do so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from feature_generator.config import StrictModel

FORMAT = "easyrec-bundle"
FORMAT_VERSION = 1
"""The newest format that this code reads, and the one that it writes."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


STATISTIC_FORMAT = "easyrec-statistic"


class FileEntry(StrictModel):
    """One file of the bundle."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class InputColumn(StrictModel):
    """A raw column that the generator reads.

    Attributes:
        name: The column's name.
        side: Where it comes from in a request: once with the `user` or the `context`, or with each `item`.
        type: Arrow type that it had when the model was trained, e.g. `string`, `list<item: int64>`.
    """

    name: str
    side: Literal["user", "item", "context"]
    type: str


class OutputColumn(StrictModel):
    """What the predictor answers per candidate.

    Attributes:
        name: The task's name.
        type: Always `float32`.
        shape: Of one candidate's answer: `[]`, `[num_classes]`, or `[D]`.
        meaning: `probability`, `value`, `probabilities`, or `vector`, to be compared with those of the other side.
    """

    name: str
    type: Literal["float32"] = "float32"
    shape: list[int] = []
    meaning: Literal["probability", "value", "probabilities", "vector"]


class Signature(StrictModel):
    """Inputs and outputs of a prediction."""

    inputs: list[InputColumn]
    outputs: list[OutputColumn]


class TaskScoring(StrictModel):
    """A task, and what is done to the program's prediction of it.

    Attributes:
        name: The task's name; the program has an output of this name.
        type: What the prediction is: a probability, a value, probabilities, or a vector.
        keep_rate: Share of negatives that training kept. The program multiplies the odds by it; stated for readers.
        calibration: Fitted calibration of the probability, as `easyrec.modules.calibration` writes it.
    """

    name: str
    type: Literal["binary", "multiclass", "ordinal", "regression", "ziln", "vector"]
    keep_rate: float | None = Field(None, gt=0.0, le=1.0)
    calibration: dict[str, Any] | None = None


class RuntimeEntry(StrictModel):
    """A way to run the dense part.

    Attributes:
        folder: Its folder in the bundle.
        tolerance: Largest difference from the trained score that a replayed row may show, by precision:
            absolute for probabilities, relative for values above 1.
        precision: Of the dense part.
        native: Whether it is machine code, which is loaded from trusted bundles only.
        built_for: What machine code was built for: processor and version of torch.
        milliseconds: Of processor time for the dense part of a request, on the exporting machine.
        requests: Folder of its program for requests; None: it has none, but for `torch_export`, whose is that of `split`.
    """

    folder: str
    tolerance: dict[str, float]
    precision: str = "fp32"
    native: bool = False
    built_for: dict[str, str] = {}
    milliseconds: float | None = None
    requests: str | None = None


class Attempt(StrictModel):
    """Something that export tried: a precision of the tables, or a runtime in a precision.

    Attributes:
        runtime: What ran the dense part.
        precision: Of the dense part.
        tables: Precision of the tables, and the codecs that compress them.
        kept: Whether the bundle has it.
        reason: Why not.
        error: Largest difference from a trained score that a warm-up row showed.
        rows: Held-out rows that the gate scored; 0: it was not asked, or there are none.
        score_error: Largest difference over those rows.
        auc_drop: By task, how much less AUC there is; negative where there is more.
        milliseconds: Of processor time for the dense part of a request, on the exporting machine.
        table_bytes: Of the files of compressed tables.
    """

    runtime: str
    precision: str = "fp32"
    tables: str = "fp32"
    kept: bool
    reason: str = ""
    error: float | None = None
    rows: int = 0
    score_error: float | None = None
    auc_drop: dict[str, float] = {}
    milliseconds: float | None = None
    table_bytes: int | None = None


class SplitEntry(StrictModel):
    """A program for requests: what is the same for all candidates of a request is computed once.

    Attributes:
        folder: Its folder in the bundle.
        user: Features that a request has once, which are looked up in one row.
        apart: Sequences that are looked up once, as `<group>/<sequence>`.
        folded: Groups whose numbers the program is given as they are, not times their vectors.
        cells: Candidates times steps of a user that are computed at a time; None: all.
    """

    folder: str
    user: list[str]
    apart: list[str] = []
    folded: list[str] = []
    cells: int | None = Field(None, ge=1)


class Warmup(StrictModel):
    """The rows that are replayed at every load."""

    rows: int = Field(ge=1)


PATH = "path"
"""Column of a searching bundle's items: the nodes above each."""


class SearchEntry(StrictModel):
    """How a bundle finds items that it searches for.

    Attributes:
        items: Its file with the items: their ids, and the `path` of each, the nodes above it by their numbers in each level.
        inputs: Which input of the program holds such a path; that of a node has -1 behind the node's own number.
        beam: Nodes of a level that are kept.
        branching: The most children of a node.
        sequence: The sequence that is compared with nodes, as the program calls it: `<group>/<name>`.
        history: Its newest steps that are read.
    """

    items: str
    inputs: str
    sequence: str
    history: int = Field(gt=0)
    beam: int = Field(gt=0)
    branching: int = Field(gt=1)


class Manifest(StrictModel):
    """`manifest.json`."""

    format: Literal["easyrec-bundle"] = "easyrec-bundle"
    format_version: int = FORMAT_VERSION
    name: str
    """The experiment's name."""
    created: str
    """ISO time, UTC."""
    config: dict[str, Any]
    """The experiment, `base` and overrides merged, `${ENV}` as written."""
    plugins: list[dict[str, str]] = []
    """Plugins whose members the config names. Of those only features and sources are needed to score."""
    tower_of: Sha256 | None = None
    """Digest of the matching model of which this is a tower: vectors of one model can be compared. None: of none."""
    fingerprint: str
    """Of the generator: its config and vocabularies."""
    features: list[dict[str, Any]]
    """The feature plan: what the generator puts out, and which table each output looks up in."""
    embeddings: dict[str, Any]
    """The embedding plan: tables, and which columns of which group each feature fills."""
    signature: Signature
    scoring: list[TaskScoring]
    runtimes: dict[str, RuntimeEntry] = Field(min_length=1)
    runtime: str
    """The runtime that is used unless the caller asks for another."""
    precision: str = "fp32"
    tables: str = "fp32"
    """Precisions of the embedding tables and the codecs that compress them, joined by `+`; `tables/index.json` tells of each."""
    tried: list[Attempt] = []
    """What export tried, measured and chose among."""
    request: dict[str, int] = {}
    """The request that the bundle is made for: `items` per user."""
    warmup: Warmup
    split: SplitEntry | None = None
    """The program for requests; None: requests are scored as rows are."""
    search: SearchEntry | None = None
    """Of a model that searches for items; None: of another one."""
    metrics: dict[str, Any] = {}
    """Of training: `{"valid": {"auc": ...}, ...}`."""
    versions: dict[str, str]
    """Of the libraries that wrote the bundle."""
    files: dict[str, FileEntry] = {}
    """Every file but the manifest and its checksum, by path inside the bundle."""

    def requests_of(self, runtime: str) -> str | None:
        """The folder of the program for requests of a runtime; None where that has none."""
        if self.split is None:
            return None
        return self.split.folder if runtime == "torch_export" else self.runtimes[runtime].requests


class ArrayChange(StrictModel):
    """How a `.npy` file of a bundle differs from the one before it.

    Attributes:
        number: Its files in the delta are `rows/<number>.npy` and `rows/<number>.values.npy`.
        kind: `rows`: of a matrix, with their values; `keys`: of a map of ids to rows, with their ids.
        shape: Of the matrix afterwards; of a map, its slots.
        changed: How many rows.
    """

    number: int = Field(ge=0)
    kind: Literal["rows", "keys"]
    shape: tuple[Annotated[int, Field(ge=0, lt=2**40)], Annotated[int, Field(ge=0, lt=2**31)]]
    changed: int = Field(ge=0)


class DeltaManifest(StrictModel):
    """`manifest.json` of a delta: what makes one bundle of another."""

    format: Literal["easyrec-delta"] = "easyrec-delta"
    format_version: int = FORMAT_VERSION
    created: str
    """ISO time, UTC."""
    base: Sha256
    """Digest of the manifest of the bundle that it is applied to."""
    result: Sha256
    """Digest of the manifest of what comes out, which is `result/manifest.json` here."""
    arrays: dict[str, ArrayChange] = {}
    """Files that are made of the former ones, by path inside the bundle; others lie under `whole/` here, or are as before."""
    files: dict[str, FileEntry] = {}
    """Every file but the manifest and its checksum, by path inside the delta."""


class StatisticManifest(StrictModel):
    """`manifest.json` of an item-to-item statistic, which has neither a program nor tables."""

    format: Literal["easyrec-statistic"] = "easyrec-statistic"
    format_version: int = FORMAT_VERSION
    name: str
    """The experiment's name."""
    created: str
    """ISO time, UTC."""
    config: dict[str, Any]
    """The experiment, `base` and overrides merged, `${ENV}` as written."""
    plugins: list[dict[str, str]] = []
    """Plugins whose members the config names."""
    fingerprint: str
    """Of the generator: its config and vocabularies."""
    item_id: str
    """The column of ids in `items.parquet`."""
    items: int = Field(ge=1)
    """N."""
    links: int = Field(ge=0)
    """Entries of the matrix."""
    recency: float
    repeats: bool
    metrics: dict[str, Any] = {}
    """Of the run: `{"valid": {"recall@10": ...}, ...}`."""
    versions: dict[str, str]
    """Of the libraries that wrote the bundle."""
    files: dict[str, FileEntry] = {}
    """Every file but the manifest and its checksum, by path inside the bundle."""
