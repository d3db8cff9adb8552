"""Whether the rows of a source are still those that work was begun with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa

from easyrec.data.sources import Source

STAMPS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated")
"""What file systems tell of a remote file that changes with its content."""


def content_of(source: Source, columns: list[str]) -> str:
    """Digest of what the rows are: of files their names, sizes and times; of rows in memory these themselves."""
    known = source.identity()
    if known is not None:
        return hashlib.sha256(known.encode()).hexdigest()
    units = source.units()
    digest = hashlib.sha256(json.dumps([[unit.description, unit.rows] for unit in units]).encode())
    files = list(getattr(source, "files", ()))
    for file in files:
        if file.local:
            stat = Path(file.name).stat()
            digest.update(f"{Path(file.name).name} {stat.st_size} {stat.st_mtime_ns};".encode())
        else:
            info = file.system.info(file.path)
            digest.update(f"{file.name} {file.size} {[str(info[key]) for key in STAMPS if key in info]};".encode())
    for unit in [] if files else units:
        for batch in source.read(unit, columns):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            digest.update(sink.getvalue())
    return digest.hexdigest()
