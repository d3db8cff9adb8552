"""`serving.yaml`: what is served, where, and within which limits."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError
from easyrec.export.trust import NAME, Trust, masked, without_secrets
from easyrec.processors import num_processors
from feature_generator.config import Document, StrictModel, read_config, validate
from serving.gpu.config import DeviceConfig
from serving.limits import Limits
from serving.server.sources import Place

Name = Annotated[str, NAME]
"""What may name models and versions: it stands in paths, labels and logs."""
Secret = Annotated[str, StringConstraints(min_length=16)]


class Batching(StrictModel):
    """Small requests that come together are scored together."""

    max_rows: int = Field(256, ge=2)
    """Candidates of all requests in one batch; larger requests go alone."""
    max_wait_ms: float = Field(1.0, ge=0.0, le=1000.0)
    """How long the first request of a batch waits for others."""


class CanaryConfig(StrictModel):
    """When a version with few requests gets none any more."""

    max_psi: float = Field(0.25, gt=0.0)
    """Population stability index between its scores and the main version's over the same period."""
    max_errors: float = Field(0.02, ge=0.0, le=1.0)
    """Share of its requests that fail, beyond the main version's share."""
    min_requests: int = Field(200, ge=1)
    """Requests to each of both before it is judged."""


class ItemSource(StrictModel):
    """Files that hold the items of a catalogue."""

    path: str = Field(min_length=1)
    """A file, a folder, or a pattern with `*`."""
    format: Literal["parquet", "csv", "arrow", "json"] = "parquet"
    """`json`: an object a line."""


class CatalogueConfig(StrictModel):
    """Items whose features are computed ahead, so that requests name them by their keys."""

    source: ItemSource | None = None
    """Where the items are; without it they come by `POST /models/{name}/items` alone."""
    key: str = Field(min_length=1)
    """The column of whole numbers or texts that tells items apart."""
    asked: list[str] | None = None
    """Item columns that come with each request; default: those that the source lacks."""
    ahead: Literal["features", "embeddings", "layers"] = "embeddings"
    """How far items are computed ahead."""
    refresh_s: float = Field(60.0, ge=0.0)
    """How often the source is looked at; it is read again where files have changed. 0: with a new bundle alone."""


class UserCacheConfig(StrictModel):
    """Users are kept for some seconds, with what follows from them."""

    key: str | None = None
    """The user's column that tells users apart; without it, users of other columns are others."""
    rows: int = Field(10_000, ge=1)
    """How many users."""
    age_s: float = Field(10.0, gt=0.0)
    """How long."""


class ItemCacheConfig(StrictModel):
    """Features of items that came with their columns are kept for when they come again."""

    key: str = Field(min_length=1)
    """The item column that tells items apart."""
    rows: int = Field(100_000, ge=1)
    """How many items."""
    version: str | None = None
    """An item column that changes whenever another one does; else all columns are compared."""


class FeaturesConfig(StrictModel):
    """Columns that requests lack come from a feature store, by the ids that they hold."""

    store: str = Field(min_length=1)
    """The store's YAML; its section `read` says what is kept in memory, in each process of the server."""
    model: str = Field(min_length=1)
    """Which of the models there."""
    deadline_ms: float = Field(20.0, gt=0.0)
    """After which defaults are taken; a request that has less time left waits no longer than that."""


class VersionConfig(StrictModel):
    """One of several versions of a model."""

    name: Name | None = None
    """What paths may call it, beside its digest."""
    bundle: Annotated[Any, Place()]
    """A bundle's folder, or a text file that names one, relative to itself; or another source of such."""
    weight: float = Field(1.0, ge=0.0)
    """Its share of the requests that ask for no version, beside the others' weights."""
    shadow: float | None = Field(None, gt=0.0, le=1.0)
    """Share of the requests that it scores as well, to be compared and counted, never to be answered."""
    canary: CanaryConfig | None = None
    """It is on trial beside the version with the largest weight."""
    deltas: Annotated[Any, Place()] | None = None
    """A folder whose deltas are applied as they come, or another source of such."""


class ModelConfig(StrictModel):
    """A model: its bundle, or several versions."""

    name: Name
    bundle: Annotated[Any, Place()] | None = None
    """A bundle's folder, or a text file that names one, relative to itself; or another source of such."""
    deltas: Annotated[Any, Place()] | None = None
    """A folder whose deltas are applied as they come, or another source of such."""
    versions: list[VersionConfig] = []
    """Instead of `bundle`."""
    runtime: str | None = None
    """What runs the dense part; the bundle says unless this does."""
    trust_native: bool = False
    """Load machine code of bundles that no trusted key signed: it does what its writer wants."""
    device: DeviceConfig = DeviceConfig(name="cpu")
    """Where it runs; `cuda` is short for `{name: cuda}`."""
    inputs: Literal["columns", "tensors"] = "columns"
    """What `infer` takes: raw columns, or ready-made inputs of the dense part."""
    bad_values: Literal["fail", "default"] = "fail"
    """What a value that breaks a rule does."""
    missing_columns: Literal["fail", "default"] = "fail"
    """What a column does that a request lacks."""
    unknown_columns: Literal["fail", "ignore"] = "fail"
    """What a column does that no feature reads."""
    unique: str | None = Field(None, min_length=1)
    """An item column, e.g. `item_id`; a request that holds a value of it twice is refused."""
    batching: Batching | None = None
    catalogue: CatalogueConfig | None = None
    user_cache: UserCacheConfig | None = None
    item_cache: ItemCacheConfig | None = None
    features: FeaturesConfig | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.bundle is None and not self.versions:
            raise ValueError("needs either 'bundle' or 'versions'")
        if self.bundle is not None and self.versions:
            raise ValueError("has 'bundle' and 'versions', but takes one of them")
        if self.versions and self.deltas is not None:
            raise ValueError("'deltas' belongs to a version where there are 'versions'")
        if self.versions and not any(v.weight for v in self.versions if v.shadow is None):
            raise ValueError("needs a version with a weight that is no shadow")
        weights = [v.weight for v in self.versions if v.shadow is None and v.canary is None]
        for version in self.versions:
            if version.canary is not None and version.shadow is not None:
                raise ValueError("a shadow answers nobody, so it is no canary")
            if version.canary is not None and version.weight >= max(weights, default=0.0):
                raise ValueError("a canary needs a weight below that of a version that is none")
        names = [version.name for version in self.versions if version.name is not None]
        if len(names) > len(set(names)):
            raise ValueError("two versions have one name")
        if self.inputs == "tensors" and any((self.catalogue, self.user_cache, self.item_cache)):
            raise ValueError("with 'inputs: tensors' nothing is computed that a cache could keep")
        if self.inputs == "tensors" and self.features is not None:
            raise ValueError("with 'inputs: tensors' there are no columns that a feature store could have")
        if self.inputs == "tensors" and (self.unique or self.batching):
            raise ValueError("with 'inputs: tensors' there are no columns, so 'unique' and 'batching' do nothing")
        return self

    def all_versions(self) -> list[VersionConfig]:
        """The versions; of a model with one bundle, that alone."""
        return self.versions or [VersionConfig(bundle=self.bundle, deltas=self.deltas)]


class LimitsConfig(StrictModel):
    """Bounds on a request, checked before anything is computed."""

    body_bytes: int = Field(8 << 20, ge=1, le=1 << 30)
    """Of a body, unpacked."""
    body_timeout_s: float = Field(10.0, gt=0.0)
    """How long a body may take to arrive."""
    json_depth: int = Field(16, ge=3, le=512)
    """Levels of lists and objects inside each other."""
    items: int = Field(10_000, ge=1)
    """Candidates, or rows."""
    text_bytes: int = Field(65_536, ge=1)
    list_length: int = Field(100_000, ge=1)
    deadline_ms: float = Field(1000.0, gt=0.0)
    """After which a request that was not answered is given up; a client may ask for less by `X-Deadline-Ms`."""
    queue: int = Field(64, ge=0)
    """Requests that may wait in a process; further ones are answered 429."""

    def of_values(self) -> Limits:
        """What a predictor checks."""
        return Limits(items=self.items, text_bytes=self.text_bytes, list_length=self.list_length)


class TLS(StrictModel):
    """Certificates, as PEM files."""

    certificate: str
    key: str
    key_password: str | None = None
    client_authority: str | None = None
    """Certificates of who signs clients; then a client needs one."""


class Auth(StrictModel):
    """Bearer tokens. Each is `${ENV}`, at least 16 characters, and never shown."""

    tokens: list[Secret] = []
    """Who holds one may ask for predictions and metadata. Without any, everybody may."""
    admin: list[Secret] = []
    """Who holds one may also reload and roll back. Without any, nobody may."""

    @field_validator("*", mode="after")
    @classmethod
    def _distinct(cls, value: list[str]) -> list[str]:
        if len(value) > len(set(value)):
            raise ValueError("a token is given twice")
        return value


class RequestLog(StrictModel):
    """Requests that are kept, by sample, to be replayed."""

    path: str = Field(min_length=1)
    """The folder of its Arrow files."""
    sample: float = Field(0.01, gt=0.0, le=1.0)
    """Share of the requests that is kept."""
    redact: list[str] = []
    """Columns whose values are never written."""
    personal: list[str] = []
    """Columns about persons: their values are never written either, but hashes of them where there is a `hash_key`."""
    hash_key: Secret | None = Field(None, repr=False)
    """`${ENV}`, at least 16 characters: with it rows of one user can be found, and forgotten."""
    file_rows: int = Field(10_000, ge=1)
    """Requests in a file."""
    keep_days: float | None = Field(None, gt=0.0)
    """Files older than this are removed."""

    @property
    def file_seconds(self) -> float:
        """How long a file is written to: the first of its rows is to go not much later than it should."""
        return 86_400.0 * min(1.0, (self.keep_days or 10.0) / 10.0)


class DriftConfig(StrictModel):
    """Scores and features are compared with those of training."""

    sample: float = Field(0.1, gt=0.0, le=1.0)
    """Share of the requests that is counted, after the answer."""
    threshold: float = Field(0.2, gt=0.0)
    """Population stability index from which on there is an alarm."""
    min_rows: int = Field(1000, ge=1)
    """Rows, of now and of training, below which there is none."""
    min_requests: int = Field(100, ge=1)
    """Requests below which there is none: candidates of one request are alike."""
    half_life_s: float = Field(3600.0, gt=0.0)
    """After which a request counts half."""


class LogConfig(StrictModel):
    """What is written to stderr, a JSON object a line, without values of requests."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    requests: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the requests that get a line."""
    slow_ms: float | None = Field(None, gt=0.0)
    """Requests slower than this get one in any case, with the time of each stage."""


class GRPC(StrictModel):
    """The same over gRPC; needs the extra `grpc`."""

    port: int = Field(8001, ge=0, le=65535)


class Listening(StrictModel):
    """Where a server listens, and within which limits."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8000, ge=0, le=65535)
    """0 takes a free one."""
    processes: int = Field(1, ge=1, le=1024)
    threads: int | None = Field(None, ge=1, le=1024)
    """Longer requests that a process works on at a time; default: the processors, shared among the processes."""
    limits: LimitsConfig = LimitsConfig()
    tls: TLS | None = None
    auth: Auth | None = None
    log: LogConfig = LogConfig()
    grpc: GRPC | None = None
    state: str | None = Field(None, min_length=1)
    """Folder for what processes share and what deltas make; default: a temporary one."""
    drain_s: float = Field(30.0, ge=0.0)
    """How long running requests may take after SIGTERM."""

    @model_validator(mode="after")
    def _own_ports(self) -> Self:
        if self.grpc is not None and self.grpc.port == self.port and self.port:
            raise ValueError(f"'port' and 'grpc.port' are both {self.port}")
        return self

    @property
    def num_threads(self) -> int:
        """Longer requests that a process works on at a time."""
        return self.threads or max(1, num_processors() // self.processes)


class ServerConfig(Listening):
    """`serving.yaml`."""

    models: list[ModelConfig] = Field(min_length=1)
    trust: Trust | None = None
    """Whose bundles and deltas are taken; without it, everybody's."""
    request_log: RequestLog | None = None
    drift: DriftConfig | None = None
    watch_s: float = Field(1.0, ge=0.0)
    """How often bundles and deltas are looked at; 0: only on request."""

    @field_validator("models", mode="after")
    @classmethod
    def _distinct(cls, value: list[ModelConfig]) -> list[ModelConfig]:
        names = [model.name for model in value]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"two models are called '{min(repeated)}'")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for model in self.models:
            if model.batching is not None and model.batching.max_wait_ms >= self.limits.deadline_ms:
                raise ValueError(
                    f"'{model.name}' may wait {model.batching.max_wait_ms:g} ms for a batch (batching.max_wait_ms), "
                    f"but limits.deadline_ms is {self.limits.deadline_ms:g}"
                )
        return self


def load_server_config(
    source: str | os.PathLike[str] | dict[str, Any], overrides: list[str] | None = None
) -> ServerConfig:
    """The config of a server.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    document = read_config(source, overrides)
    try:
        return validate(ServerConfig, document)
    except ConfigError as error:
        raise masked_config(error, document) from None


def masked_config(error: ConfigError, document: Document) -> ConfigError:
    """The error without the values of `auth`, of passwords and keys, and of secrets of `trust`."""
    error = without_secrets(error, document.data.get("trust"))
    auth, tls = document.data.get("auth"), document.data.get("tls")
    secrets = [tls.get("key_password")] if isinstance(tls, dict) else []
    kept = document.data.get("request_log")
    secrets += [kept.get("hash_key")] if isinstance(kept, dict) else []
    for held in auth.values() if isinstance(auth, dict) else ():
        secrets += held if isinstance(held, list) else [held]
    return masked(error, secrets)
