"""`Metastore`: what a Hive metastore tells of a table: its columns, its format, and where its partitions lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from easyrec.errors import DataError, MissingExtra

AT_ONCE = 500
"""Partitions whose locations are asked for at once."""

KINDS: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "BYTE": pa.int8(),
    "SHORT": pa.int16(),
    "INT": pa.int32(),
    "LONG": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "STRING": pa.string(),
    "VARCHAR": pa.string(),
    "CHAR": pa.string(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "BINARY": pa.binary(),
}


@dataclass(frozen=True)
class HiveTable:
    """A table, as the metastore knows it.

    Attributes:
        location: Its folder.
        columns: Types by column, but for partitions.
        partitions: Types by partition.
        serde: Class that reads its files.
        format: What the class is told, such as the sign between two values; properties of the table among it.
    """

    location: str
    columns: dict[str, pa.DataType]
    partitions: dict[str, pa.DataType]
    serde: str
    format: dict[str, str]


class Metastore:
    """A Hive metastore, which is asked over a connection for each question.

    Args:
        urls: `thrift://host:port` of one, with commas between several, which are tried in turn.
        table: `database.table`.
        timeout: Seconds after which it does not answer.
    """

    def __init__(self, urls: str, table: str, timeout: float) -> None:
        self._urls, self.table, self._timeout = urls.split(","), table, timeout
        self._database, _, self._name = table.rpartition(".")

    def describe(self) -> HiveTable:
        """The table.

        Raises:
            DataError: There is no such table, or its files are not its rows.
        """
        with self._connected() as (client, thrift):
            try:
                request = thrift.types.GetTableRequest(dbName=self._database, tblName=self._name)
                found = client.get_table_req(request).table
            except thrift.TApplicationException:  # before Hive 2.3
                found = client.get_table(self._database, self._name)
            parse = thrift.TypeParser
        parameters = {key.lower(): value for key, value in (found.parameters or {}).items()}
        self._check(found.tableType, parameters)
        return HiveTable(
            found.sd.location or "",
            {field.name: self._kind(field, parse) for field in found.sd.cols},
            {field.name: self._kind(field, parse) for field in found.partitionKeys or ()},
            found.sd.serdeInfo.serializationLib or "",
            {**parameters, **(found.sd.serdeInfo.parameters or {})},
        )

    def partitions(self) -> list[str]:
        """The names of all partitions, `dt=20260101/hour=3`, sorted."""
        with self._connected() as (client, _):
            return sorted(client.get_partition_names(self._database, self._name, -1))

    def locations(self, names: Sequence[str]) -> list[str]:
        """The folders of partitions."""
        found: dict[tuple[str, ...], str] = {}
        with self._connected() as (client, _):
            for start in range(0, len(names), AT_ONCE):
                asked = list(names[start : start + AT_ONCE])
                for one in client.get_partitions_by_names(self._database, self._name, asked):
                    found[tuple(one.values)] = one.sd.location
        missing = [name for name in names if values_of(name) not in found]
        if missing:
            raise DataError(f"the partition {missing[0]} was dropped meanwhile", file=self.table)
        return [found[values_of(name)] for name in names]

    @contextmanager
    def _connected(self) -> Iterator[tuple[Any, Any]]:
        """A client, and the names of its library."""
        thrift = _library()
        transport, failures = None, []
        for url in list(self._urls):
            place = urlsplit(url.strip())
            socket = thrift.TSocket(place.hostname, place.port or 9083)
            socket.setTimeout(self._timeout * 1000)
            transport = thrift.TBufferedTransport(socket)
            try:
                transport.open()
                self._urls.sort(key=lambda one: one != url)  # which is asked first from now on
                break
            except thrift.TTransportException as error:
                failures.append(f"{url.strip()}: {error}")
                transport = None
        if transport is None:
            raise DataError(f"no metastore answers: {'; '.join(failures)}", file=self.table)
        try:
            yield thrift.Client(thrift.TBinaryProtocol(transport)), thrift
        except thrift.types.NoSuchObjectException as error:
            raise DataError(str(error.message), file=self.table) from None
        except (thrift.types.MetaException, thrift.TException) as error:
            raise DataError(
                f"the metastore answers: {getattr(error, 'message', None) or error}", file=self.table
            ) from None
        finally:
            transport.close()

    def _check(self, kind: str, parameters: dict[str, str]) -> None:
        other = parameters.get("table_type") or parameters.get("spark.sql.sources.provider") or ""
        if "VIEW" in (kind or ""):
            raise DataError("is a view, which has no files", file=self.table)
        if other.lower() in ("iceberg", "delta"):
            text = f"is a table of {other.capitalize()}, whose files alone are not its rows: read it by `type: {other.lower()}`"
            raise DataError(text, file=self.table)
        if parameters.get("transactional", "").lower() == "true":
            text = "is a transactional table, whose files alone are not its rows: write a copy without 'transactional'"
            raise DataError(text, file=self.table)

    def _kind(self, field: Any, parse: Callable[[str], Any]) -> pa.DataType:
        try:
            return _arrow(parse(field.type).parse_type())
        except (KeyError, ValueError, TypeError, AttributeError):
            raise DataError(
                f"has type {field.type}, which cannot be read", column=field.name, file=self.table
            ) from None


def values_of(name: str) -> tuple[str, ...]:
    """The texts of a partition by its name."""
    return tuple(unquote(part.partition("=")[2]) for part in name.split("/"))


def _arrow(kind: Any) -> pa.DataType:
    """The Arrow type of a type of Hive's."""
    if kind.name == "LIST":
        return pa.list_(_arrow(kind.element_type))
    if kind.name == "MAP":
        return pa.map_(_arrow(kind.key_type), _arrow(kind.value_type))
    if kind.name == "STRUCT":
        return pa.struct([(name, _arrow(inner)) for name, inner in zip(kind.names, kind.types, strict=True)])
    if kind.name == "DECIMAL":
        return pa.decimal128(kind.precision, kind.scale)
    return KINDS[kind.name]


def _library() -> SimpleNamespace:
    try:
        from pymetastore.hive_metastore import ttypes  # noqa: PLC0415 (an extra)
        from pymetastore.hive_metastore.ThriftHiveMetastore import Client  # noqa: PLC0415
        from pymetastore.htypes import TypeParser  # noqa: PLC0415
        from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: PLC0415
        from thrift.Thrift import TApplicationException, TException  # noqa: PLC0415
        from thrift.transport.TSocket import TSocket  # noqa: PLC0415
        from thrift.transport.TTransport import TBufferedTransport, TTransportException  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("pymetastore", "hive") from None
    return SimpleNamespace(
        types=ttypes,
        Client=Client,
        TypeParser=TypeParser,
        TBinaryProtocol=TBinaryProtocol,
        TApplicationException=TApplicationException,
        TException=TException,
        TSocket=TSocket,
        TBufferedTransport=TBufferedTransport,
        TTransportException=TTransportException,
    )
