"""The gate before a publication: batches in, the rows that may be published out, and a verdict on all of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.errors import DataError
from easyrec.store.codec import column_of, micros
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.quality.checks import Checked, Checks, Result
from easyrec.store.quality.counts import Baseline, Distribution
from easyrec.store.quality.expectations import Freshness, OfRows, Psi, Quarantine, Unique, shown
from easyrec.store.quality.expectations import Rows as Count
from easyrec.store.quality.rows import Rows

REASON = "quarantine_reason"
"""Column of rows that were set aside."""


class Gate:
    """Looks at the rows of one publication of a view as they pass.

    Args:
        config: What is defined.
        view: Whose rows.
        why: `check`: nothing is set aside, and no baseline is made.
        clock: Seconds since 1970.

    Attributes:
        checked: The verdict, once all rows have passed.
    """

    def __init__(
        self,
        config: StoreConfig,
        view: View,
        why: Literal["publish", "check"] = "publish",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.view, self.why, self.clock = view, why, clock
        self.checks = Checks(config.registry, config.project)
        self.checked: Checked | None = None
        self._of_rows = [
            Rows(one, config.entity(view.entity).join_id) for one in view.expect if isinstance(one, OfRows)
        ]
        kept = self.checks.baselines(view.name) if any(isinstance(one, Psi) for one in view.expect) else {}
        self._of_fields = {
            one.field: Distribution(kept.get(one.field) if one.baseline is None else _read(one))
            for one in view.expect
            if isinstance(one, Psi)
        }
        self._bad = [0] * len(self._of_rows)
        self._rows = self._set_aside = 0
        self._newest: int | None = None
        self._file = _File(view.quarantine, view.name, self.clock) if view.quarantine is not None else None

    def passing(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that may be published.

        Raises:
            DataError: All have passed, and they are not what is expected: who publishes them must not switch to them.
        """
        try:
            for batch in batches:
                before = self._rows
                try:
                    passed = self._passed(batch)
                except DataError as error:
                    row = None if error.row is None or self.set_aside else before + error.row
                    raise DataError(error.reason, column=error.column, row=row) from None
                yield passed
            self._judge()
        finally:
            if self._file is not None:
                self._file.close(keep=self.checked is not None)
        assert self.checked is not None
        if self.checked.failed:
            told = "\n".join(f"  {one.expected}: {said(one)}" for one in self.checked.failed)
            raise DataError(
                f"view '{self.view.name}': the rows are not what is expected, and are not published\n{told}"
            )

    @property
    def set_aside(self) -> int:
        """How many rows were set aside so far: those that follow have other numbers than in the input."""
        return self._set_aside

    def look(self, batches: Iterable[pa.RecordBatch]) -> Checked:
        """The verdict on rows that nobody publishes."""
        for batch in batches:
            self._passed(batch)
        self._judge()
        assert self.checked is not None
        return self.checked

    def make_baseline(self) -> list[str]:
        """Compare with these rows from now on; gives the fields."""
        made = []
        for field, distribution in self._of_fields.items():
            baseline = distribution.made()
            if baseline is not None:
                self.checks.set_baseline(self.view.name, field, baseline, self.clock())
                made.append(field)
        return made

    def forget_baseline(self) -> None:
        """Compare with nothing, so that these rows can become the baseline, but for fields that name a table of theirs."""
        for one in self.view.expect:
            if isinstance(one, Psi) and one.baseline is None:
                self._of_fields[one.field] = Distribution(None)

    # ------------------------------------------------------------------------------------------- inside

    def _passed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self._rows += batch.num_rows
        # Whether a key comes once is a question of the rows that stay: a bad row does not take its key from a good one.
        for keyed in (False, True):
            masks: list[tuple[Any, np.ndarray]] = []
            for place, rows in enumerate(self._of_rows):
                if isinstance(rows.expectation, Unique) != keyed:
                    continue
                bad = rows.bad(batch)
                self._bad[place] += int(np.count_nonzero(bad))
                if rows.expectation.on_failure == "quarantine" and bad.any():
                    masks.append((rows.expectation, bad))
            if masks and self.why == "publish":
                batch = self._parted(batch, masks)
        if self.view.event_time is not None and batch.num_rows:
            latest = int(micros(batch, self.view.event_time).max())
            self._newest = latest if self._newest is None else max(self._newest, latest)
        for field, distribution in self._of_fields.items():
            distribution.add(column_of(batch, field))
        return batch

    def _parted(self, batch: pa.RecordBatch, masks: list[tuple[Any, np.ndarray]]) -> pa.RecordBatch:
        """The rows that stay; the others go into the file, with the reasons."""
        assert self._file is not None
        gone = np.logical_or.reduce([mask for _, mask in masks])
        self._set_aside += int(np.count_nonzero(gone))
        reasons = [
            pc.if_else(pa.array(mask[gone]), pa.scalar(f"not: {shown(one)}"), pa.scalar(None, pa.string()))
            for one, mask in masks
        ]
        joined = pc.binary_join_element_wise(*reasons, "; ", null_handling="skip")
        self._file.write(batch.filter(pa.array(gone)).append_column(REASON, joined))
        return batch.filter(pa.array(~gone))

    def _judge(self) -> None:
        bad = dict(zip([id(rows.expectation) for rows in self._of_rows], self._bad, strict=True))
        results = [
            self._of_share(one, bad[id(one)]) if isinstance(one, OfRows) else self._of_all(one)
            for one in self.view.expect
        ]
        quarantine = self.view.quarantine
        if quarantine is not None and self._rows and self._set_aside / self._rows > quarantine.max_share:
            share = self._set_aside / self._rows
            told = "rows are set aside"
            results.append(Result(told, "quarantine", "", "failed", share, quarantine.max_share, self._set_aside))
        statuses = {result.status for result in results}
        verdict: Any = (
            "failed" if "failed" in statuses else "warned" if statuses & {"warned", "set aside"} else "passed"
        )
        file = "" if self._file is None or not self._set_aside else str(self._file.path)
        self.checked = Checked(
            self.view.name, self.clock(), self.why, verdict, self._rows, self._set_aside, file, results
        )
        self.checks.add(self.checked)
        if self.why == "publish" and verdict != "failed":
            self.make_baseline()

    def _of_share(self, one: Any, bad: int) -> Result:
        share = bad / self._rows if self._rows else 0.0
        told = (shown(one), one.type, getattr(one, "field", ""))
        if one.on_failure == "quarantine":
            return Result(*told, "set aside" if bad else "passed", share, None, bad)
        status: Any = "passed" if share <= one.max_share else "failed" if one.on_failure == "fail" else "warned"
        return Result(*told, status, share, one.max_share, bad)

    def _of_all(self, one: Any) -> Result:
        otherwise: Any = "failed" if one.on_failure == "fail" else "warned"
        told = (shown(one), one.type, getattr(one, "field", ""))
        if isinstance(one, Count):
            fits = self._rows >= one.min and (one.max is None or self._rows <= one.max)
            bound = one.min if self._rows < one.min or one.max is None else one.max
            return Result(*told, "passed" if fits else otherwise, self._rows, bound)
        if isinstance(one, Freshness):
            if self._newest is None:
                return Result(*told, otherwise, None, one.max_age, note="there is no row")
            age = self.clock() - self._newest / 1e6
            return Result(*told, "passed" if age <= one.max_age else otherwise, age, one.max_age)
        assert isinstance(one, Psi)
        distribution = self._of_fields[one.field]
        index = distribution.index()
        if index is None:
            return Result(*told, "skipped", None, one.max, note="there was no baseline")
        assert distribution.baseline is not None
        if min(distribution.rows, sum(distribution.baseline.counts)) < one.min_rows:
            return Result(*told, "skipped", index, one.max, note=f"fewer than {one.min_rows:,} rows")
        return Result(*told, "passed" if index <= one.max else otherwise, index, one.max)


class _File:
    """Rows that are set aside; the file has its name when all of them are in it."""

    def __init__(self, quarantine: Quarantine, view: str, clock: Callable[[], float]) -> None:
        folder = Path(quarantine.path)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock()))
        self.path = folder / f"{view}-{stamp}-{secrets.token_hex(4)}.parquet"
        self._partial = self.path.with_name(f".{self.path.name}.writing")
        self._writer: Any = None

    def write(self, rows: pa.RecordBatch) -> None:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._partial, rows.schema, compression="zstd")
        self._writer.write_batch(rows.cast(self._writer.schema) if rows.schema != self._writer.schema else rows)

    def close(self, *, keep: bool) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if keep:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)


def said(one: Result) -> str:
    """What was found, in words."""
    if one.type in ("null_rate", "range", "values", "unique", "quarantine"):
        found = f"{one.rows:,} rows, {one.found:.3%}" if one.found is not None else ""
        bound = f"; at most {one.bound:.3%}" if one.bound is not None else ""
    elif one.type == "freshness":
        found = "" if one.found is None else f"{one.found / 3600:.1f} h"
        bound = f"; at most {one.bound / 3600:g} h" if one.bound is not None else ""
    elif one.type == "psi":
        found = "" if one.found is None else f"psi {one.found:.3f}"
        bound = f"; at most {one.bound:g}" if one.bound is not None else ""
    else:
        found, bound = f"{one.found:,.0f} rows", ""
    return f"{found}{bound}{f' ({one.note})' if one.note else ''}".lstrip("; ")


def _read(one: Psi) -> Baseline:
    """The baseline in a table."""
    from easyrec.store.quality.tables import batches  # noqa: PLC0415 (needs an extra)

    distribution = Distribution(None)
    for batch in batches(one.baseline, [one.field]):
        distribution.add(column_of(batch, one.field))
    made = distribution.made()
    if made is None:
        raise DataError("the baseline has no rows", column=one.field)
    return made
