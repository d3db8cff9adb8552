"""Broken data, bundles and disks: each ends in one screen and an exit code, and leaves nothing half-written."""

import contextlib
import hashlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main

ROOT = Path(__file__).parents[1]
ROWS = 300
CONFIG = """\
name: tiny
data:
  train: {type: KIND, path: rows.KIND}
  valid: {type: KIND, path: rows.KIND}
  labels: [click]
  reserved: [user_id]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", num_buckets: 30, embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
model: {type: deepfm, hidden: [8]}
train: {epochs: 1, threads: 1, sparse_optimizer: {type: lazy_adam, lr: 0.05}}
"""


def rows(**changes):
    """The good rows, with changes: column -> {row: value}."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 30, ROWS)
    frame = pd.DataFrame({"user_id": users, "price": rng.random(ROWS), "click": (rng.random(ROWS) < 0.4).astype(int)})
    for column, values in changes.items():
        frame[column] = [values.get(row, value) for row, value in enumerate(frame[column].tolist())]
    return frame


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with configs, good rows, and a finished run."""
    folder = tmp_path_factory.mktemp("source")
    rows().to_parquet(folder / "rows.parquet")
    rows().to_csv(folder / "rows.csv", index=False)
    for kind in ("parquet", "csv"):
        (folder / f"{kind}.yaml").write_text(CONFIG.replace("KIND", kind))
    with contextlib.chdir(folder):
        assert main(["train", "-c", "parquet.yaml", "--no-bar"]) == 0
    return folder


@pytest.fixture
def here(source, tmp_path, monkeypatch):
    """The working folder, a copy of it."""
    shutil.copytree(source, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def run(capsys):
    """`run("train", "-c", ...)`: exit code and what stderr says; never a traceback, always one screen."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        err = capsys.readouterr().err
        assert "Traceback" not in err
        assert "fault of the program" not in err
        assert len(err.splitlines()) < 25
        return code, err

    return run


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def train(run, kind, path, *overrides):
    """Train in a folder of its own on the rows in `path`."""
    return run(
        "train", "-c", f"{kind}.yaml", "--run-dir", "new", "--no-bar", "-o", f"data.train.path={path}", *overrides
    )


def nothing_was_trained():
    left = {p.name for p in Path("new").iterdir()} if Path("new").exists() else set()
    return left <= {".lock", "config.yaml", "tensorboard"}


# ------------------------------------------------------------------------------------------------- files

DAMAGES = {
    "truncated": (lambda data: data[: len(data) // 2], "is no readable parquet file"),
    "empty": (lambda data: b"", "is no readable parquet file"),
    "overwritten-inside": (lambda data: data[:100] + bytes(1000) + data[1100:], "row group 0 cannot be read"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_parquet_file_is_bad_data_for_every_command(here, run, damage, message):
    Path("bad.parquet").write_bytes(damage(Path("rows.parquet").read_bytes()))
    before = files(here)
    path = "data.train.path=bad.parquet"
    for words in (
        ["check", "-c", "parquet.yaml", "-o", path],
        ["fg", "-c", "parquet.yaml", "-o", path],
        ["evaluate", "-c", "runs/tiny", "-o", "data.valid.path=bad.parquet"],
        ["predict", "-c", "runs/tiny", "--input", "bad.parquet", "--output", "scores.parquet"],
    ):
        code, err = run(*words)
        assert (code, err.startswith(f"bad.parquet: {message}")) == (3, True), err
    assert files(here) == before
    code, err = train(run, "parquet", "bad.parquet")
    assert (code, err.startswith(f"bad.parquet: {message}")) == (3, True), err
    assert nothing_was_trained()


def ragged():
    """Line 21 lacks a value, line 41 has one too many."""
    lines = Path("rows.csv").read_text().splitlines()
    lines[20], lines[40] = lines[20].rpartition(",")[0], lines[40] + ",7"
    Path("ragged.csv").write_text("\n".join(lines) + "\n")


def test_a_ragged_line_is_named_by_every_command(here, run):
    ragged()
    before = files(here)
    for words in (
        ["check", "-c", "csv.yaml", "-o", "data.train.path=ragged.csv"],
        ["predict", "-c", "runs/tiny", "--input", "ragged.csv", "--output", "scores.parquet"],
    ):
        assert run(*words) == (3, "ragged.csv, line 21: has 2 values, but there are 3 columns\n")
    assert files(here) == before
    assert train(run, "csv", "ragged.csv") == (3, "ragged.csv, line 21: has 2 values, but there are 3 columns\n")
    assert nothing_was_trained()


@pytest.mark.parametrize(("policy", "used"), [("skip", 298), ("default", 299)])  # no default stands for a label
def test_ragged_lines_are_counted_where_the_policy_excuses_them(here, run, capsys, policy, used):
    ragged()
    code, err = train(run, "csv", "ragged.csv", f"data.bad_rows={policy}")
    assert code == 0
    assert f"{used} of {298 if policy == 'skip' else 300} rows were used" in err
    assert "(row): too few values" in err
    assert main(["check", "-c", "csv.yaml", "-o", "data.train.path=ragged.csv", f"data.bad_rows={policy}"]) == 0
    assert "too many values" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ values

LABELS = {
    "two": (2, "2"),
    "negative": (-1, "-1"),
    "share": (0.5, "0.5"),
    "null": (None, "null"),
    "word": ("yes", "'yes'"),
}


@pytest.mark.parametrize(("value", "shown"), LABELS.values(), ids=LABELS)
def test_a_label_that_is_not_0_or_1_is_named_with_its_row(here, run, value, shown):
    frame = rows(click={17: value})
    if isinstance(value, str):
        frame["click"] = frame["click"].astype(str)
    frame.to_parquet("bad.parquet")
    what = f"must be 0 or 1, but is {shown}\n"
    code, err = run("check", "-c", "parquet.yaml", "-o", "data.train.path=bad.parquet")
    assert code == 3
    assert f"train: label 'click' is unusable in 0.3% of the rows: {what}" in err
    message = f"bad.parquet, row 17, column 'click': {what}"
    assert run("evaluate", "-c", "runs/tiny", "-o", "data.valid.path=bad.parquet") == (3, message)
    assert train(run, "parquet", "bad.parquet") == (3, message)
    assert nothing_was_trained()


@pytest.mark.parametrize("policy", ["skip", "default"])
def test_a_bad_label_is_left_out_where_the_policy_says_so(here, run, policy):
    rows(click={17: 2}).to_parquet("bad.parquet")
    words = ["data.train.path=bad.parquet", f"data.bad_rows={policy}"]
    assert run("check", "-c", "parquet.yaml", "-o", *words)[0] == 0
    code, err = train(run, "parquet", "bad.parquet", words[1])
    assert code == 0
    assert "1 bad value, 299 of 300 rows were used\n         1  click: must be 0 or 1" in err


def test_labels_of_which_none_can_be_used_are_a_fault_under_every_policy(here, run):
    for policy in ("fail", "skip", "default"):
        words = ["data.labels=[user_id]", "data.reserved=[]", f"data.bad_rows={policy}"]
        rows(user_id=dict.fromkeys(range(ROWS), 7)).to_parquet("rows.parquet")
        code, err = run("check", "-c", "parquet.yaml", "-o", *words)
        assert code == 3
        assert "label 'user_id' is unusable in 100.0% of the rows: must be 0 or 1, but is 7" in err


NUMBERS = {"nan": float("nan"), "infinite": float("inf")}


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_a_feature_that_is_no_number_fails_with_its_row(here, run, value):
    rows(price={5: value, 9: value}).to_parquet("bad.parquet")
    if value != value:  # pandas writes NaN as null: write it as the number
        table = pq.read_table("rows.parquet")
        price = table["price"].to_numpy().copy()
        price[[5, 9]] = np.nan
        pq.write_table(table.set_column(1, "price", [price]), "bad.parquet")
    before = files(here)
    message = f"bad.parquet, row 5, column 'price': {value} is not a finite number\n"
    assert run("predict", "-c", "runs/tiny", "--input", "bad.parquet", "--output", "o.parquet") == (3, message)
    assert run("evaluate", "-c", "runs/tiny", "-o", "data.valid.path=bad.parquet") == (3, message)
    code, err = run("check", "-c", "parquet.yaml", "-o", "data.train.path=bad.parquet")
    assert (code, "column 'price': a value is not a finite number, 2 times" in err) == (3, True)
    assert files(here) == before
    assert train(run, "parquet", "bad.parquet") == (3, message)
    assert nothing_was_trained()


@pytest.mark.parametrize(("policy", "kept"), [("skip", ROWS - 2), ("default", ROWS)])
def test_a_feature_that_is_no_number_is_excused_and_told(here, run, policy, kept):
    rows(price={5: float("inf"), 9: float("inf")}).to_parquet("bad.parquet")
    told = f"2 bad values, {kept} of {ROWS} rows were used\n         2  price: a value is not a finite number"
    option = f"data.bad_rows={policy}"
    code, err = run("predict", "-c", "runs/tiny", "--input", "bad.parquet", "--output", "o.parquet", "-o", option)
    assert (code, told in err) == (0, True), err
    scores = pq.read_table("o.parquet")
    assert scores.num_rows == kept
    if policy == "default":  # an absent number scores like the bad one
        rows(price={5: None, 9: None}).to_parquet("null.parquet")
        assert run("predict", "-c", "runs/tiny", "--input", "null.parquet", "--output", "n.parquet")[0] == 0
        assert scores.equals(pq.read_table("n.parquet"))
    code, err = run("evaluate", "-c", "runs/tiny", "-o", "data.valid.path=bad.parquet", option)
    assert (code, f"valid: {told}" in err) == (0, True), err
    code, err = train(run, "parquet", "bad.parquet", option)
    assert (code, told in err) == (0, True), err


# --------------------------------------------------------------------------------- bundles, checkpoints


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["tables/0.npy", "program/weights.safetensors", "warmup/rows.arrow", "manifest.json"])
def test_a_bundle_with_a_flipped_bit_is_refused_by_name(here, run, name):
    """Export reads the run's own bundle where the run's rows are gone."""
    flip(Path("runs/tiny/bundle", name))
    Path("rows.parquet").unlink()
    before = files(here)
    code, err = run("export", "-c", "runs/tiny", "--output", "again")
    assert code == 3
    assert err.startswith("runs/tiny/bundle"), err
    assert name in err.splitlines()[0]
    assert "rows.parquet: there is no such file" in err
    assert files(here) == before


def test_a_bundle_of_a_newer_format_says_what_to_upgrade(here, run):
    path = Path("runs/tiny/bundle/manifest.json")
    text = json.dumps({**json.loads(path.read_bytes()), "format_version": 99, "news": {}}).encode()
    path.write_bytes(text)
    path.with_name("manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    Path("rows.parquet").unlink()
    before = files(here)
    code, err = run("export", "-c", "runs/tiny", "--output", "again")
    assert code == 3
    assert "has bundle format 99, but this version reads up to" in err
    assert "pip install --upgrade" in err
    assert files(here) == before


def test_without_a_bundle_rows_that_are_gone_are_named(here, run):
    shutil.rmtree("runs/tiny/bundle")
    Path("rows.parquet").unlink()
    told = "rows.parquet: there is no such file\n  asked for by runs/tiny/config.yaml, line 3, data . train\n"
    assert run("export", "-c", "runs/tiny") == (3, told)


def test_a_checkpoint_with_a_flipped_bit_is_refused_by_name(here, run):
    (file,) = Path("runs/tiny/checkpoints").glob("*/dense.safetensors")
    flip(file)
    before = files(here)
    for words in (
        ["evaluate", "-c", "runs/tiny"],
        ["predict", "-c", "runs/tiny", "--input", "rows.parquet", "--output", "o.parquet"],
        ["export", "-c", "runs/tiny", "--output", "again"],
    ):
        assert run(*words) == (1, f"{file}: is damaged: its checksum is not the recorded one\n")
    assert files(here) == before


def test_a_folder_that_is_no_run_is_a_wrong_config(here, run):
    for words in (["check"], ["evaluate"], ["train"], ["predict", "--output", "o.parquet"], ["export"]):
        code, err = run(*words, "-c", "runs/tiny/bundle")
        assert code == 2
        assert err.startswith("runs/tiny/bundle: 1 problem\n\n  is a folder, but not that of a run"), err


# ------------------------------------------------------------------------------------------------- disks


@pytest.fixture
def no_room():
    """`with no_room(bytes)`: files may not grow beyond so many bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def test_no_room_for_a_checkpoint_ends_training_with_the_former_ones_whole(here, run, no_room):
    words = ["train", "-c", "runs/tiny", "--resume", "--no-bar", "-o", "train.epochs=2"]
    former = files("runs/tiny/checkpoints")
    with no_room(1500):  # enough for the run's small files, not for the table
        code, err = run(*words)
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("cannot write the checkpoint runs/tiny/checkpoints/step-6: File too large; it needs "), err
    assert last.endswith("B are free. Former checkpoints are untouched")
    assert files("runs/tiny/checkpoints") == former
    assert run(*words)[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "runs/tiny"], "cannot write runs/tiny/report.html: File too large"),
        (["export", "-c", "runs/tiny", "--output", "again"], "again: cannot write the bundle: File too large"),
        (
            ["predict", "-c", "runs/tiny", "--input", "rows.parquet", "--output", "o.parquet"],
            "cannot write o.parquet: ",
        ),
    ],
    ids=["report", "export", "predict"],
)
def test_no_room_for_an_output_leaves_nothing_of_it(here, run, no_room, words, message):
    before = files(here)
    with no_room(500):
        code, err = run(*words)
    assert (code, err.startswith(message)) == (1, True), err
    assert files(here) == before


SMALL_DISK = """\
mount -t tmpfs -o size=300k none disk || exit 99
cp parquet.yaml rows.parquet disk && cd disk
"$0" -m easyrec.cli train -c parquet.yaml --no-bar -o train.epochs=50 train.checkpoint.keep=50 >out 2>&1
echo "code $?"
tail -1 out
ls -A runs/tiny/checkpoints | grep -v '^step-[0-9]*$'
"$0" -m easyrec.cli evaluate -c runs/tiny >/dev/null
echo "code $?"
"""


def test_a_disk_that_is_really_full_ends_training_between_whole_checkpoints(here):
    """On a disk of 300 kB, mounted for this process alone."""
    Path("disk").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OMP_NUM_THREADS": "1"},
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a disk")
    first, last, after = done.stdout.splitlines()
    assert (first, after) == ("code 1", "code 0"), done.stderr
    assert "No space left on device" in last
    assert last.endswith("Former checkpoints are untouched")
