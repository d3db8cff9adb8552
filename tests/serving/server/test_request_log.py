"""The request log and its replay."""

import json

import numpy as np
import pyarrow as pa
import pytest

from easyrec.cli import main
from easyrec.errors import DataError
from serving.server.replay import FEATURES as FEATURES_DIFFER
from serving.server.replay import OTHER_GENERATOR, OTHER_WEIGHTS, replay
from serving.server.request_log import read_log


@pytest.fixture
def kept(with_app, toys, request_parts, tmp_path):
    """Answers of some requests, after which their log is closed."""

    def ask(count=3, **log):
        user, items, context = request_parts
        bodies = [
            {"user": {**user, "user_id": f"person {n}"}, "items": items[: n % 3 + 1], "context": context}
            for n in range(count)
        ]

        async def work(client):
            return [(await client.post("/predict", json=body)).json() for body in bodies]

        models = [{"name": "ctr", "bundle": str(toys("deepfm").bundle)}]
        return with_app(work, models=models, request_log={"path": str(tmp_path / "log"), "sample": 1.0, **log})

    return ask


def test_a_replay_by_the_same_bundle_finds_the_same(kept, toys, tmp_path):
    answers = kept(5)
    rows = [row for _, row in read_log(tmp_path / "log")]
    assert len(rows) == 5
    for answer, row in zip(answers, rows, strict=True):
        assert np.array_equal(row.column("score:click")[0].as_py(), np.float32(answer["scores"]["click"]))
        assert row.column("user:user_id")[0].as_py().startswith("person")
    found = replay(tmp_path / "log", toys("deepfm").bundle)
    assert (found.requests, found.same, found.items, found.unexplained) == (5, 5, 9, 0)
    assert found.largest == {"click": 0.0}
    assert not found.features and not found.scores and not found.answered.get("unexplained")


def test_redacted_columns_are_never_written_and_are_named_as_the_cause(kept, toys, tmp_path):
    kept(3, redact=["user_id"])
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    assert b"person" not in file.read_bytes()
    assert all(row.column("user:user_id")[0].as_py() is None for _, row in read_log(file))
    found = replay(file, toys("deepfm").bundle)
    assert (found.requests, found.same) == (3, 3)
    assert all(cause.startswith("redacted: user_id") for cause in found.answered)
    assert sum(found.answered.values()) == 3


def test_other_weights_are_named_as_the_cause(kept, other_toy, tmp_path):
    kept(3)
    found = replay(tmp_path / "log", other_toy.bundle)
    assert found.same == 0
    assert found.scores == {("click", OTHER_WEIGHTS): 3}
    assert not found.features
    assert found.unexplained == 0


def test_features_of_another_generator_are_named(kept, make_toy, toys, tmp_path):
    kept(3)
    features = json.loads((toys("deepfm").bundle / "generator" / "features.json").read_text())["features"]
    changed = [{**one, "boundaries": [2, 6, 21]} if one["name"] == "price" else one for one in features]
    other = make_toy({"type": "deepfm", "hidden": [8]}, tmp_path / "other" / "bundle", features=changed)
    found = replay(tmp_path / "log", other.bundle)
    assert set(found.features) == {("price", OTHER_GENERATOR)}
    assert ("click", FEATURES_DIFFER) in found.scores
    assert found.unexplained == 0


def test_a_score_that_nothing_explains_ends_the_command_with_1(kept, toys, tmp_path, capsys):
    kept(2)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    forged = tmp_path / "forged.arrows"
    with file.open("rb") as opened:
        table = pa.ipc.open_stream(opened).read_all()
    place = table.schema.get_field_index("check:click")
    moved = pa.chunked_array([[[value + 0.01 for value in row] for row in table.column(place).to_pylist()]])
    table = table.set_column(place, table.schema.field(place), moved.cast(table.schema.field(place).type))
    with pa.ipc.new_stream(str(forged), table.schema) as writer:
        writer.write_table(table)
    assert main(["serve", "replay", "--log", str(forged), "--bundle", str(toys("deepfm").bundle), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["scores"] == [{"name": "click", "cause": "unexplained", "requests": 2}]
    assert told["largest"]["click"] == pytest.approx(0.01, rel=1e-3)
    assert main(["serve", "replay", "--log", str(file), "--bundle", str(toys("deepfm").bundle)]) == 0


def test_a_log_that_was_cut_off_is_read_up_to_its_last_whole_request(kept, tmp_path):
    kept(3)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    file.write_bytes(file.read_bytes()[:-700])
    assert len(list(read_log(file))) == 2


def test_a_file_that_is_no_log_is_named(tmp_path):
    (tmp_path / "x.arrows").write_bytes(b"no arrow")
    for path in (tmp_path / "x.arrows", tmp_path / "nothing"):
        with pytest.raises(DataError, match=path.name):
            list(read_log(path))


def test_only_a_share_is_kept_and_files_are_bounded(kept, tmp_path):
    kept(5, file_rows=2)
    files = list((tmp_path / "log" / "ctr").iterdir())
    assert len(files) == 3
    assert sum(len(list(read_log(file))) for file in files) == 5
