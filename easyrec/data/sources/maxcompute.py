"""`maxcompute`: rows of a MaxCompute table through its tunnel, as Arrow; a unit is a range of rows of a partition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias

import pyarrow as pa
from pydantic import ConfigDict, Field, SecretStr

from easyrec.data.sources import Policy, Source, SourceConfig, Unit
from easyrec.data.sources._partitions import PartitionedSource
from easyrec.data.sources._snapshots import SnapshotSource
from easyrec.data.sources._where import Wanted, check, is_wanted, none_wanted, typed
from easyrec.errors import DataError, MissingExtra
from feature_generator.config import worded

SESSIONS = 8
"""Partitions whose sessions are opened at the same time: each costs a round trip or two."""

EXPIRED = ("NoSuchDownload", "StatusConflict", "SessionExpired")
"""Codes of a session that the tunnel has forgotten: it keeps them for a day."""

OPTIONS = {"local_timezone": False}
"""Moments stay UTC, on machines of every zone."""


Url: TypeAlias = Annotated[
    str,
    worded("^https?://[^/@]+(/|$)", "must be an URL that starts with https:// or http://, without a user", shown=False),
]
"""Where a service answers."""


class Config(SourceConfig):
    """Config of `maxcompute`.

    Attributes:
        endpoint: URL of the service, such as `https://service.cn-hangzhou.maxcompute.aliyun.com/api`.
        tunnel_endpoint: URL of its tunnel; without it the service tells it.
        project: Project of the table.
        table: Table, `schema.name` for one of a schema.
        where: Which partitions are read: by partition a value, a list of them, `{from: , to: }`, or
            `{last: 7, until: 20260131}`.
        access_id: Id of an access key. Write `${NAME}`, an environment variable.
        access_key: Its secret.
        security_token: Token of a role, for temporary keys (STS).
        quota: Name of a quota for the tunnel, where there is one of your own.
        unit_rows: Rows that are read at once, and that are shuffled and shared out together.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it holds secrets

    type: Literal["maxcompute"] = "maxcompute"
    endpoint: Url
    tunnel_endpoint: Url | None = None
    project: str = Field(min_length=1)
    table: Annotated[str, worded(r"^([^.\s]+\.)?[^.\s]+$", "must be table, or schema.table")]
    where: dict[str, Wanted] = {}
    access_id: SecretStr = Field(min_length=1)
    access_key: SecretStr = Field(min_length=1)
    security_token: SecretStr | None = None
    quota: str | None = None
    unit_rows: int = Field(100_000, gt=0)

    def open(self, bad_rows: Policy = "fail") -> Source:
        """The rows as they are now, counted and divided into units.

        Raises:
            MissingExtra: pyodps is not installed.
        """
        del bad_rows  # a row of a table cannot be malformed
        return MaxComputeSource(self)


class Expired(DataError):  # noqa: N818 (it says what became of the session)
    """The tunnel has forgotten a session."""


@dataclass
class Download:
    """What a session of the tunnel reads: a partition, or a table that has none, as it is at one time.

    Attributes:
        spec: The partition, `dt='20260101',hour='03'`; empty for the whole table.
        modified: Seconds since 1970 when its rows were last changed.
        rows: How many it has.
        session: The tunnel's name of it.
        handle: The client's object.
    """

    spec: str
    modified: int
    rows: int
    session: str
    handle: Any = field(repr=False, compare=False)


class Tunnel:
    """The table on the service, and the tunnel to its rows.

    Args:
        config: Where it is.

    Raises:
        MissingExtra: pyodps is not installed.
        DataError: There is no such table, or the service does not let us in.
    """

    def __init__(self, config: Config) -> None:
        try:
            import odps  # noqa: PLC0415 (an extra)
            import odps.accounts  # noqa: PLC0415
            import odps.config  # noqa: PLC0415
            import odps.errors  # noqa: PLC0415
            import odps.tunnel  # noqa: PLC0415
            import requests  # noqa: PLC0415 (which pyodps brings)
        except ImportError:
            raise MissingExtra("odps", "maxcompute") from None
        self._odps = odps
        self._failures = (odps.errors.BaseODPSError, requests.RequestException, pa.ArrowException, OSError, ValueError)
        secrets = [config.access_id, config.access_key, config.security_token]
        self._secrets = [secret.get_secret_value() for secret in secrets if secret is not None]
        account = (odps.accounts.StsAccount if config.security_token else odps.accounts.CloudAccount)(*self._secrets)
        schema, _, name = config.table.rpartition(".")
        self.name = f"{config.project}.{config.table}"
        with self.asked(self.name):
            client = odps.ODPS(
                account=account,
                project=config.project,
                endpoint=config.endpoint,
                tunnel_endpoint=config.tunnel_endpoint,
                schema=schema or None,
                overwrite_global=False,
            )
            self.table = client.get_table(name, schema=schema or None)
            self.table.reload()
            self._tunnel = odps.tunnel.TableTunnel(client, endpoint=config.tunnel_endpoint, quota_name=config.quota)
        columns = self.table.table_schema
        self.columns = {column.name: self._kind(column) for column in columns.simple_columns}
        self.kinds = {column.name: self._kind(column) for column in columns.partitions or ()}

    @contextmanager
    def asked(self, where: str) -> Iterator[None]:
        """What the service or the tunnel says of a failure is an error of ours, without secrets."""
        try:
            with self._odps.config.option_context(OPTIONS):
                yield
        except self._failures as error:
            code = getattr(error, "code", None) or ""
            text = (str(error.args[0] if error.args else "").strip().splitlines() or [type(error).__name__])[0]
            text = text if code in text else f"{code}: {text}"
            if request := getattr(error, "request_id", None):  # by which the service finds it in its logs
                text += f" (request {request})"
            for secret in self._secrets:
                text = text.replace(secret, "***")
            raise (Expired if code in EXPIRED else DataError)(text, file=where) from None

    def partitions(self, where: Mapping[str, Wanted]) -> list[str]:
        """The partitions that are wanted, in the order of their names.

        Raises:
            DataError: There is none.
        """
        prefix = []
        for name in self.kinds:  # what equals one value, the service picks out itself
            if not isinstance(where.get(name), str | int):
                break
            prefix.append(f"{name}='{where[name]}'")
        specs = self._listed(",".join(prefix))
        wanted = [text for text in specs if is_wanted(where, self.values(text), self.kinds)]
        if not wanted:
            there = self._listed("") if prefix else specs
            raise none_wanted([text.replace("'", "") for text in there], self.name)
        return sorted(wanted)

    def _listed(self, prefix: str) -> list[str]:
        with self.asked(self.name):
            return [str(part.partition_spec) for part in self.table.iterate_partitions(spec=prefix or None)]

    def values(self, spec: str) -> dict[str, pa.Scalar]:
        """The values of a partition."""
        texts = dict(self._odps.types.PartitionSpec(spec).kv) if spec else {}
        found = {name: typed(texts[name], kind) for name, kind in self.kinds.items()}
        return {name: pa.scalar(None, self.kinds[name]) if value is None else value for name, value in found.items()}

    def called(self, spec: str) -> str:
        """What errors call a partition."""
        return f"{self.name}, {spec.replace(chr(39), '')}" if spec else self.name

    def download(self, spec: str) -> Download:
        """A new session: the rows of a partition as they are now."""
        with self.asked(self.called(spec)):
            at = self.table.get_partition(spec) if spec else self.table
            at.reload()
            changed = int(at.last_data_modified_time.timestamp())
            handle = self._tunnel.create_download_session(self.table, partition_spec=spec or None)
        return Download(spec, changed, int(handle.count), str(handle.id), handle)

    def attach(self, known: Download) -> Download:
        """The session that another opening has made; a new one of the same rows, where the tunnel has forgotten it.

        Raises:
            DataError: The rows were changed since.
        """
        try:
            with self.asked(self.called(known.spec)):
                handle = self._tunnel.create_download_session(
                    self.table, partition_spec=known.spec or None, download_id=known.session
                )
        except Expired:
            return self.renewed(known)
        return replace(known, handle=handle) if handle.status == handle.Status.Normal else self.renewed(known)

    def renewed(self, known: Download) -> Download:
        """A new session of the same rows.

        Raises:
            DataError: They were changed since.
        """
        found = self.download(known.spec)
        if (found.modified, found.rows) != (known.modified, known.rows):
            told = "have been changed" if found.rows == known.rows else f"were {known.rows} and are {found.rows}"
            raise DataError(
                f"the rows {told} since they were first read, and the tunnel keeps no older ones",
                file=self.called(known.spec),
            )
        return found

    def read(self, known: Download, start: int, count: int, columns: Sequence[str]) -> list[pa.RecordBatch]:
        """Rows of a session, from `start` on."""
        with self.asked(self.called(known.spec)):
            return list(known.handle.open_arrow_reader(start, count, columns=list(columns)))

    def _kind(self, column: Any) -> pa.DataType:
        from odps.tunnel.io.types import odps_type_to_arrow_type  # noqa: PLC0415 (an extra)

        try:
            kind: pa.DataType = odps_type_to_arrow_type(column.type)
        except TypeError:
            text = f"has type {str(column.type).lower()}, which the tunnel does not give as Arrow; read a view or a table without it"
            raise DataError(text, column=column.name, file=self.name) from None
        return kind


class MaxComputeSource(SnapshotSource):
    """Rows of a table, partition by partition.

    A session of the tunnel shows the rows as they were when it was made. A checkpoint holds the sessions' names, so that
    a resumed run and all workers read by the same ones, for the day that the tunnel keeps them. After it new sessions
    are made, and the rows must not have been changed.

    Args:
        config: Where the rows are.

    Raises:
        ConfigError: `where` does not fit the table's partitions.
        DataError: There is no such table or partition, it is empty, or the service does not let us in.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._tunnel = config, Tunnel(config)
        check(config.where, self._tunnel.kinds, self._tunnel.name)
        super().__init__(self._tunnel.name)

    def opened(self, pin: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
        """New sessions, or those that are pinned."""
        tunnel = self._tunnel
        size = self._config.unit_rows if pin is None else int(pin["unit_rows"])
        with ThreadPoolExecutor(SESSIONS) as pool:
            if pin is None:
                specs = tunnel.partitions(self._config.where) if tunnel.kinds else [""]
                downloads = list(pool.map(tunnel.download, specs))
            else:
                downloads = list(pool.map(tunnel.attach, [Download(**entry, handle=None) for entry in pin["sessions"]]))
        rows = DownloadedRows(tunnel, downloads, size)
        if not rows.units():
            raise DataError("has no rows", file=tunnel.name)
        values = {tunnel.called(one.spec): tunnel.values(one.spec) for one in downloads}
        names = ("spec", "modified", "rows", "session")
        sessions = [{name: getattr(one, name) for name in names} for one in downloads]
        return PartitionedSource(rows, values, tunnel.kinds), {"unit_rows": size, "sessions": sessions}

    def identity(self) -> str:
        """The partitions, and when their rows were changed; not the sessions, which each opening makes anew."""
        told = [[one["spec"], one["modified"], one["rows"]] for one in self.pinned()["sessions"]]
        return json.dumps([self.table, told])


class DownloadedRows(Source):
    """What sessions show, but for the columns of partitions.

    Args:
        tunnel: Where they are.
        downloads: The sessions.
        unit_rows: Rows of a unit at most.
    """

    def __init__(self, tunnel: Tunnel, downloads: Sequence[Download], unit_rows: int) -> None:
        self._tunnel, self._downloads = tunnel, list(downloads)
        self.columns = tunnel.columns
        self._units: list[Unit] = []
        self._sessions: list[int] = []
        for index, known in enumerate(self._downloads):
            name = tunnel.called(known.spec)
            for start in range(0, known.rows, unit_rows):
                rows = min(unit_rows, known.rows - start)
                told = f"{name}, rows {start} to {start + rows - 1}"
                self._units.append(Unit(len(self._units), rows, told, name, start))
                self._sessions.append(index)

    def units(self) -> list[Unit]:
        """Ranges of rows, partition by partition."""
        return self._units

    def read(self, unit: Unit, columns: Sequence[str], start_row: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows of the range; the tunnel sends `columns` alone."""
        index, count = self._sessions[unit.index], (unit.rows or 0) - start_row
        if count <= 0:
            return
        asked = unit.first_row + start_row, count, columns
        try:
            batches = self._tunnel.read(self._downloads[index], *asked)
        except Expired:
            self._downloads[index] = self._tunnel.renewed(self._downloads[index])
            batches = self._tunnel.read(self._downloads[index], *asked)
        found = sum(batch.num_rows for batch in batches)
        if found != count:
            raise DataError(f"the tunnel sent {found} rows of {count}", file=unit.description)
        yield from batches
