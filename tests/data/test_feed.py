"""`PartFeed`: shards are disjoint and complete, a part has its own rows, and every row knows its place."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config.data import SplitByColumn
from easyrec.data.feed import PartFeed, source_of
from easyrec.data.split import Part, part_of


@pytest.fixture
def part(tmp_path):
    """A part of two files with six row groups: the rows whose column `part` says `train`, and which those are."""
    rng = np.random.default_rng(0)
    names = rng.choice(["train", "valid", None], 500, p=[0.6, 0.3, 0.1])
    for i in (0, 1):
        mine = slice(250 * i, 250 * (i + 1))
        table = pa.table({"row": np.arange(500)[mine], "part": pa.array(names[mine], pa.string())})
        pq.write_table(table, tmp_path / f"{i}.parquet", row_group_size=100)
    source = source_of(str(tmp_path), ()).open("fail")
    split = SplitByColumn(column="part", train=["train"], valid=["valid"], test=[])
    return Part(source, part_of(split, "train", pa.string()), "train"), np.flatnonzero(names == "train").tolist()


@pytest.mark.parametrize("shards", [1, 2, 5, 9])
def test_shards_are_the_part(part, shards):
    part, wanted = part
    found = []
    for i in range(shards):
        for block in PartFeed(part, (i, shards)).blocks(["row"]):
            assert block.batch.schema.names == ["row"]
            rows = block.batch["row"].to_pylist()
            for at, row in enumerate(rows):
                place = block.locate(at)
                assert (place.file[-9:], place.row) == (f"{row // 250}.parquet", row % 250)
            found += rows
    assert sorted(found) == wanted


def test_the_share_that_is_done_grows_to_all(part):
    part, wanted = part
    blocks = list(PartFeed(part).blocks(["row", "part"]))
    assert [row for block in blocks for row in block.batch["row"].to_pylist()] == wanted
    assert [block.done for block in blocks] == pytest.approx(np.arange(1, len(blocks) + 1) / len(blocks))
    assert len(blocks) == 6


def test_without_a_split_all_rows_are_read(part):
    part, _ = part
    feed = PartFeed(Part(part.source), (1, 2))
    rows = [row for block in feed.blocks(["row"]) for row in block.batch["row"].to_pylist()]
    assert rows == [*range(100, 200), *range(250, 350), *range(450, 500)]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a.csv"], "csv"),
        (["README.txt", "b/part-0.parquet"], "parquet"),
        (["_meta.parquet", ".tmp/x.parquet", "dt=1/a.JSONL.gz"], "jsonl"),
        (["notes.md"], "parquet"),
    ],
)
def test_a_folder_is_of_the_kind_of_its_files(tmp_path, names, kind):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert source_of(str(tmp_path), ()).type == kind
    assert source_of(str(tmp_path / names[-1]), ()).type == kind
