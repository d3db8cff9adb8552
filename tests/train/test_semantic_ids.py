"""From vectors of a catalogue to a file of semantic ids, and what is wrong with vectors and files."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec
from easyrec.cli import main
from easyrec.errors import ConfigError, DataError, RunError

SMALL = {"codes": 4, "levels": 2}


def items(rows=40):
    random = np.random.default_rng(1)
    return pd.DataFrame({"item_id": [f"i{n}" for n in range(rows)], "vector": list(random.normal(size=(rows, 6)))})


def test_codes_are_unique_and_told_of(tmp_path, capsys):
    items().to_parquet(tmp_path / "items.parquet")
    where = ["--items", str(tmp_path / "items.parquet"), "--output", str(tmp_path / "ids.parquet")]
    assert main(["semantic-ids", *where, "-o", "codes=4", "levels=2"]) == 0
    shown = capsys.readouterr().out
    assert "40 items, " in shown
    assert "unexplained" in shown
    found = pq.read_table(tmp_path / "ids.parquet")
    assert found.column_names == ["item_id", "codes"]
    assert found.column("item_id").to_pylist() == items()["item_id"].tolist()
    codes = np.array(found.column("codes").to_pylist())
    assert codes.shape == (40, 3)
    assert len(np.unique(codes, axis=0)) == 40
    about = json.loads((tmp_path / "ids.json").read_text())
    assert about["config"]["type"] == "kmeans"
    assert about["unique"] == len(np.unique(codes[:, :2], axis=0)) / 40
    assert about["alike"] == codes[:, 2].max() + 1
    assert "<svg" in (tmp_path / "ids.html").read_text()
    assert main(["semantic-ids", *where]) == 1
    assert "is there; overwrite it" in capsys.readouterr().err
    assert main(["semantic-ids", *where, "--overwrite", "-o", "codes=4", "type=rq_vae", "epochs=2"]) == 0
    assert json.loads((tmp_path / "ids.json").read_text())["config"]["type"] == "rq_vae"


def test_a_config_is_read_from_a_file(tmp_path):
    (tmp_path / "how.yaml").write_text("type: kmeans\nlevels: 1\ncodes: 8\n")
    path = easyrec.semantic_ids(items(), tmp_path / "ids.parquet", config=tmp_path / "how.yaml", overrides={"codes": 3})
    codes = np.array(pq.read_table(path).column("codes").to_pylist())
    assert codes.shape == (40, 2)
    assert codes[:, 0].max() == 2


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"type": "kmean"}, "unknown type 'kmean'; did you mean 'kmeans'?"),
        ({"code": 3}, "unknown key; did you mean 'codes'"),
        ({"levels": 0}, "levels"),
        ({"codes": 256}, "a level has 256 codes, but there are 40 items: take fewer, e.g. -o codes=5"),
    ],
)
def test_what_cannot_be_made_is_refused(config, text, tmp_path):
    with pytest.raises(ConfigError) as error:
        easyrec.semantic_ids(items(), tmp_path / "ids.parquet", config=config)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda f: f.rename(columns={"vector": "vectors"}), ConfigError, "no column 'vector'; did you mean 'vectors'"),
        (lambda f: f.rename(columns={"item_id": "id"}), ConfigError, "no column 'item_id'"),
        (lambda f: pd.concat([f, f[:1]]), DataError, "'i0' is there twice"),
        (
            lambda f: f.assign(vector=[[1.0] * (3 + (n == 7)) for n in range(40)]),
            DataError,
            "3 numbers, but here are 4",
        ),
        (lambda f: f.assign(vector=[None if n == 7 else [1.0] for n in range(40)]), DataError, "but here are none"),
        (lambda f: f.assign(vector=[[np.nan if n == 7 else 1.0] for n in range(40)]), DataError, "row 7"),
        (lambda f: f.assign(vector=1.0), DataError, "must hold lists of numbers"),
        (lambda f: f.assign(vector=[["a"]] * 40), DataError, "must hold numbers, but holds string"),
        (lambda f: f[:0], DataError, "there are no items"),
    ],
)
def test_bad_vectors_are_told(change, error, text, tmp_path):
    with pytest.raises(error) as raised:
        easyrec.semantic_ids(change(items()), tmp_path / "ids.parquet", config=SMALL)
    assert text in str(raised.value)


def test_of_a_folder_of_vectors_all_must_be_there(tmp_path):
    (tmp_path / "items.json").write_text("{}")
    with pytest.raises(RunError, match="not all items are there"):
        easyrec.semantic_ids(tmp_path, tmp_path / "ids.parquet", config=SMALL)
    parts = tmp_path / "parts"
    parts.mkdir()
    frame = items().rename(columns={"item_id": "sku"})
    for number in range(2):
        table = pa.Table.from_pandas(frame[20 * number : 20 * (number + 1)], preserve_index=False)
        pq.write_table(table, parts / f"00000-0000{number}.parquet")
    (tmp_path / "items.json").write_text(json.dumps({"items": 40, "id": "sku"}))
    found = pq.read_table(easyrec.semantic_ids(tmp_path, tmp_path / "ids.parquet", config=SMALL))
    assert found.column("sku").to_pylist() == frame["sku"].tolist()
