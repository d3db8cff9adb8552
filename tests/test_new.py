"""`easyrec new`: the first config of every model is valid as it is."""

import json
import re
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import easyrec
from easyrec.check import build
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError
from easyrec.starter import grouped, models, starter
from easyrec.starter.groups import groups_of
from easyrec.starter.rows import Rows
from feature_generator.config import member, members

MODELS = members("easyrec.models")
STATISTICS = members("easyrec.statistics")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A file of most kinds of columns."""
    rng = np.random.default_rng(0)
    rows = 500
    users = rng.integers(0, 40, rows)
    steps = [rng.integers(0, 50, rng.integers(0, 5)).tolist() for _ in range(rows)]
    columns = {
        "user_id": users,
        "user_age": rng.integers(18, 60, rows),
        "item_id": rng.integers(0, 50, rows),
        "title": np.array(["a b", "c", "d"])[users % 3],
        "price": rng.random(rows),
        "hour": rng.integers(0, 24, rows),
        "country": np.array(["de", "cn"])[users % 2],
        "tags": [["x", "y"][: n % 3] for n in range(rows)],
        "clicks__item_id": steps,
        "clicks__age": [[float(s) for s in step] for step in steps],
        "day": [date(2026, 1, 1)] * rows,
        "click": (rng.random(rows) < (users % 3) / 3).astype(np.int64),
        "buy": np.arange(rows) % 7 == 0,
    }
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_the_first_config_of_every_model_is_valid_and_names_every_key(name, tmp_path):
    is_valid(name, starter(name), tmp_path)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_so_it_is_over_the_columns_of_a_file(name, log, tmp_path):
    is_valid(name, starter(name, str(log)), tmp_path)


def is_valid(name, text, tmp_path):
    (tmp_path / "first.yaml").write_text(text)
    experiment = load_experiment(tmp_path / "first.yaml")
    assert build(experiment).plan.layouts or name in STATISTICS
    lines = [line.strip().removeprefix("# ") for line in text.splitlines()]
    family, passed_over = "easyrec.models", ()
    if name in STATISTICS:
        family, passed_over = "easyrec.statistics", ("embedding_dim", "embedding_init", "tasks")
    for key in set(member(family, name).Config.model_fields) - {*passed_over}:
        assert any(line.startswith(f"{key}:") for line in lines), key
    assert all(len(line) <= 120 for line in text.splitlines() if line.lstrip().startswith("#"))


@pytest.mark.parametrize("name", STATISTICS)
def test_the_first_config_of_every_statistic_is_valid_and_names_every_key(name, log, tmp_path):
    is_valid(name, starter(name), tmp_path)
    is_valid(name, starter(name, str(log)), tmp_path)


def test_a_statistic_knows_users_by_what_the_data_have(log, tmp_path):
    """Without lists rows are pairs, of which no label is asked."""
    found = load(starter("ease", str(log)), tmp_path)
    assert [entry.sequence for entry in found.model.groups["user"].sequences] == ["clicks"]
    assert found.data.item_id == "item_id"
    pairs = pq.read_table(log, columns=["user_id", "item_id", "price"])
    pq.write_table(pairs, tmp_path / "pairs.parquet")
    text = starter("swing", str(tmp_path / "pairs.parquet"))
    found = load(text, tmp_path)
    assert {name: group.features for name, group in found.model.groups.items()} == {
        "user": ["user_id"],
        "item": ["item_id"],
    }
    assert "keep rows of clicks or purchases alone" in text
    assert "name: price" not in text
    pq.write_table(pairs.drop_columns(["user_id"]), tmp_path / "pairs.parquet")
    with pytest.raises(ConfigError, match="'swing' counts what users took, but the data have neither"):
        starter("swing", str(tmp_path / "pairs.parquet"))


@pytest.mark.parametrize(
    ("kind", "lacks"), [("popularity", ""), ("tiger", "easyrec semantic-ids"), ("tdm", "easyrec tree")]
)
def test_the_catalogue_that_it_names_lies_beside_it(kind, lacks, log, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "--model", kind, "--data", str(log), "--output", "first.yaml"]) == 0
    assert (
        f"first_items.parquet: {len(set(pq.read_table(log)['item_id'].to_pylist()))} items" in capsys.readouterr().out
    )
    found = pq.read_table("first_items.parquet")["item_id"].to_pylist()
    assert sorted(found) == sorted(set(found)) == sorted(set(pq.read_table(log)["item_id"].to_pylist()))
    assert main(["check", "-c", "first.yaml"]) == (2 if lacks else 0)
    told = capsys.readouterr().err
    assert not lacks or (": 1 problem\n" in told and lacks in told)  # what is made of its vectors


def test_a_statistic_of_the_shop_is_counted_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("easyrec.starter.counted.ROWS", 20_000)
    assert main(["new", "--model", "item_cf"]) == 0
    text = Path("item_cf.yaml").read_text().replace("name: shop,", "name: shop, rows: 4000,")
    Path("item_cf.yaml").write_text(text)
    assert main(["check", "-c", "item_cf.yaml"]) == 0
    run = easyrec.train("item_cf.yaml", progress=False, export=False)
    assert run.metrics["test"]["recall@10"] > 0


def test_the_first_config_says_what_its_keys_do():
    text = starter("deepfm")
    assert "  # Widths of the layers, input side first.\n  hidden: [256, 128]\n" in text
    assert "  # Activation of every layer. One of relu, " in text
    assert text.startswith("# deepfm: a factorization machine and an MLP over one shared embedding.\n")
    assert "  # Rank of the weights; omitted: full rank.\n  # low_rank:\n" in starter("dcn_v2")


def test_columns_become_features_by_their_type(log):
    text = starter("din", str(log))
    for line in (
        "- {type: id, name: user_id, expression: 'user:user_id', hash_bucket_size: 500}",
        "- {type: raw, name: price, expression: 'item:price'}",
        "- {type: id, name: hour, expression: 'context:hour', hash_bucket_size: 500}",
        "- {type: id, name: tags, expression: 'user:tags', hash_bucket_size: 20, sequence_length: 50}",
        "- {type: id, name: item_id, expression: 'item:item_id', hash_bucket_size: 500, embedding_name: item_id}",
        "        - sequence: clicks",
        "- {type: id, name: country, expression: 'item:country', vocab_list: [cn, de]}",
        "# Left out, as neither ids nor numbers nor lists of them: day (date32[day]).",
        "labels: [click]",
    ):
        assert line in text
    assert "type: id, name: click," not in text


def test_a_model_of_several_tasks_wants_as_many_labels(log):
    with pytest.raises(
        ConfigError, match=r"'esmm' has tasks of 2 labels, such as click and buy, but here is \[click\]"
    ):
        starter("esmm", str(log), ["click"])


@pytest.mark.parametrize(("model", "steps"), [("sim", 300), ("twin", 300), ("din", 50)])
def test_a_search_gets_the_whole_history(model, steps, tmp_path):
    lists = [[1] * 300, [2] * 7, [3]] * 20
    pq.write_table(
        pa.table({"item_id": [1, 2, 3] * 20, "clicks__item_id": lists, "click": [0, 1, 0] * 20}), tmp_path / "l.parquet"
    )
    assert f"sequence_length: {steps}\n" in starter(model, str(tmp_path / "l.parquet"))


def test_texts_that_look_like_lists_are_split(tmp_path):
    rows = ["item_id,tags,clicks__item_id,title,click"]
    rows += [
        f"{n % 9},{'a|b' if n % 2 else 'c'},{';'.join(str(n % k) for k in range(2, 8))},a {n}; b {n},{n % 2}"
        for n in range(200)
    ]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    text = starter("din", str(tmp_path / "log.csv"))
    assert "# Texts that look like lists are split: tags (" in text
    found = load(text, tmp_path)
    features = {feature["name"]: feature for feature in found.features.data["features"]}
    assert (features["tags"]["separator"], features["tags"]["type"]) == ("|", "id")
    assert "separator" not in features["title"]  # its parts are as many words as its texts
    (child,) = features["clicks"]["features"]
    assert (features["clicks"]["sequence_length"], child["embedding_name"]) == (50, "item_id")
    columns = {"item_id": [1], "tags": ["a|b"], "clicks__item_id": ["3;4"], "title": ["x"], "click": [0]}
    made = found.generator.values(pa.table(columns))
    assert len(made["tags"][0]) == len(made["clicks__item_id"][0]) == 2


def test_the_latest_rows_are_measured_where_a_column_tells_the_time(log, tmp_path):
    rows = pq.read_table(log).append_column("event_time", pa.array([1_700_000_000 + 60 * n for n in range(500)]))
    pq.write_table(rows, tmp_path / "log.parquet")
    text = starter("lr", str(tmp_path / "log.parquet"))
    assert "split: {by: time, column: event_time, valid_from: 1700024000, test_from: 1700027000}" in text
    assert "# Left out, as times of rows that are gone: event_time." in text
    found = load(text, tmp_path)
    assert found.data.split.column == "event_time"
    assert "event_time" not in [feature["name"] for feature in found.features.data["features"]]
    assert "split:" not in starter("lr", str(log))  # all of one day
    assert "Nothing is measured without rows to evaluate on" in starter("lr", str(log))


def test_labels_may_be_named(log):
    assert "labels: [buy]" in starter("lr", str(log), ["buy"])
    with pytest.raises(ConfigError, match="there is no column 'bui'; did you mean 'buy'"):
        starter("lr", str(log), ["bui"])


def test_what_the_data_lack_is_told(log, tmp_path):
    bare = pq.read_table(log, columns=["user_id", "item_id", "click"])
    pq.write_table(bare, tmp_path / "bare.parquet")
    with pytest.raises(ConfigError, match="'din' needs a sequence in its group 'deep', but no column of the data"):
        starter("din", str(tmp_path / "bare.parquet"))
    pq.write_table(bare.drop_columns(["click"]), tmp_path / "bare.parquet")
    with pytest.raises(ConfigError, match="say which columns are labels; there are: user_id, item_id"):
        starter("lr", str(tmp_path / "bare.parquet"))


def test_without_a_model_they_are_listed(capsys):
    assert main(["new"]) == 0
    out = capsys.readouterr().out
    assert set(models()) == {*MODELS, *STATISTICS}
    assert "deepfm" in out
    assert "a factorization machine and an MLP over one shared embedding" in out


def test_models_are_listed_by_family_in_the_order_of_their_pages(capsys):
    assert main(["new"]) == 0
    listed = re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)
    index = Path(__file__).parents[1] / "docs" / "models" / "index.md"
    pages = re.findall(r"^\| \[`(\w+)`\]", index.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted([*MODELS, *STATISTICS])
    assert [name for name in pages if name != "backbone"] == [name for name in listed if name != "backbone"]
    assert grouped(["mine", "lr"]) == {"linear models and factorization machines": ["lr"], "of your own": ["mine"]}


@pytest.mark.parametrize("name", [name for name in MODELS if "# encoder:" in starter(name)])
def test_the_keys_of_the_encoder_stand_below_its_sequence(name, tmp_path):
    text = starter(name)
    before, sign, keys = text.partition("          # encoder:")
    plain = load(text, tmp_path)
    found = load(before + (sign + keys).replace("          # ", "          "), tmp_path)
    assert any(entry.encoder is not None for group in found.model.groups.values() for entry in group.sequences)
    assert repr(build(found).model) == repr(build(plain).model)


def load(text, tmp_path):
    (tmp_path / "first.yaml").write_text(text)
    return load_experiment(tmp_path / "first.yaml")


def test_groups_of_one_kind_take_a_share_each():
    found = {name: {n: g.features for n, g in load_text(starter(name)).groups.items()} for name in ("cmbf", "finalmlp")}
    cmbf = [feature for features in found["cmbf"].values() for feature in features]
    assert len(cmbf) == len(set(cmbf)) == 11
    assert (found["finalmlp"]["context1"], found["finalmlp"]["context2"]) == (["user_id"], ["item_id"])


def test_an_optional_group_holds_what_no_other_has_and_one_like_another_is_left_out():
    rows = Rows([], [], sides={"user_id": "user", "item_id": "item", "tag": "item"}, sequences={"clicks": ["item_id"]})
    rows.features = [{"name": name} for name in rows.sides]
    every = GroupUse(optional=True)
    uses = {"deep": GroupUse(sequence=True, about="item"), "wide": every, "twin": GroupUse(optional=True, like="wide")}
    found = groups_of("plugged", uses, rows)
    assert found == {
        "deep": {"features": ["item_id", "tag"], "sequences": [{"sequence": "clicks"}]},
        "wide": ["user_id"],
    }
    assert groups_of("plugged", {"deep": GroupUse(), "wide": every}, rows)["wide"] == list(rows.sides)


def load_text(text):
    return load_experiment(yaml.safe_load(text)).model


def test_domains_are_told_one_by_one():
    assert "vocab_list: [home, detail, cart]" in starter("star")
    assert build(load_experiment(yaml.safe_load(starter("star")))).plan.groups["domain"].layout.fields[0].dim == 5


@pytest.mark.parametrize(
    ("column", "words"),
    [(pa.array([True, False, True]), "vocab_list: ['0', '1']"), (pa.array(["cn", "de", "cn"]), "hash_bucket_size")],
    ids=["flags", "also-steps"],
)
def test_domains_keep_what_their_steps_and_flags_are(column, words, tmp_path):
    columns = {"user_id": [1, 2, 3], "item_id": [4, 5, 6], "click": [0, 1, 0], "market": column}
    columns["clicks__item_id"] = [[4], [5], [6]]
    if words == "hash_bucket_size":
        columns["clicks__market"] = [["cn"], ["de"], ["fr"]]
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    text = starter("din", str(tmp_path / "log.parquet"), ["click"])
    market = next(line for line in text.splitlines() if line.startswith("  - {") and "name: market" in line)
    assert words in market
    build(load_experiment(yaml.safe_load(text)))


def test_an_unknown_model_is_told_with_the_nearest(capsys):
    assert main(["new", "--model", "deepfn"]) == 2
    assert "unknown model 'deepfn'; did you mean 'deepfm'?" in capsys.readouterr().err


def test_a_file_that_is_there_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "--model", "lr"]) == 0
    assert "easyrec train -c lr.yaml" in capsys.readouterr().out
    Path("lr.yaml").write_text("mine")
    assert main(["new", "--model", "lr"]) == 2
    assert Path("lr.yaml").read_text() == "mine"
    assert main(["new", "--model", "lr", "--overwrite"]) == 0
    assert Path("lr.yaml").read_text() != "mine"


def test_the_first_config_trains(log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "--model", "din", "--data", str(log), "--output", "din.yaml"]) == 0
    run = easyrec.train("din.yaml", data={"valid": pq.read_table(log)}, progress=False)
    assert run.metrics["valid"]["auc"] > 0.5
    shop = starter("deepfm").replace("name: shop,", "name: shop, rows: 4000,")
    Path("shop.yaml").write_text(shop)
    easyrec.train("shop.yaml", progress=False, export=False)
    assert "auc" in json.loads(Path("runs/shop_deepfm/metrics.json").read_text())["test"]
