"""Compiled operators behind the C interface, each compiled here by the C compiler."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import feature_generator
from feature_generator import ConfigError, DataError, FeatureGenerator, load_operators

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "custom_operators.md"
HEADERS = Path(feature_generator.__file__).parent / "cpp"
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


def block(language, number=0):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)[number]


def build(folder, source, name="operators"):
    (folder / f"{name}.c").write_text(source)
    command = [COMPILER, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", f"-I{HEADERS}"]
    subprocess.run([*command, f"{name}.c", "-o", f"{name}.so"], cwd=folder, check=True)
    return folder / f"{name}.so"


MANY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "easyrec_operator.h"

static void* create(const char* params_json, uint32_t inputs, char* error, size_t room) {
  (void)inputs;
  if (strstr(params_json, "refuse")) return NULL;
  if (strstr(params_json, "grumble")) { snprintf(error, room, "no grumbling"); return NULL; }
  char* kept = malloc(strlen(params_json) + 1);
  return kept ? strcpy(kept, params_json) : kept;
}
static int running = 0, collisions = 0;

/* Sums all values of all inputs, or misbehaves as its parameters say. */
static int32_t sums(void* instance, const easyrec_input* in, uint32_t count, uint32_t elements, easyrec_output* out,
                    char* error, size_t room) {
  const char* how = instance;
  if (running++) ++collisions;
  for (volatile int i = 0; i < 20000; ++i) {}
  if (strstr(how, "fails")) { snprintf(error, room, "the well is dry"); --running; return 1; }
  for (uint32_t e = 0; e < elements; ++e) {
    double sum = 0;
    for (uint32_t k = 0; k < count; ++k)
      for (uint32_t i = easyrec_begin(&in[k], e); i < easyrec_end(&in[k], e); ++i) sum += in[k].numbers[i];
    if (strstr(how, "texts")) out->text(out, "x", 1);
    if (sum == 13) out->bad(out, 0, "thirteen");
    if (sum == 14) out->bad(out, 9, "fourteen");
    out->number(out, strstr(how, "collisions") ? collisions : sum);
    if (strstr(how, "short") && e == 0) continue;
    out->end(out);
    if (strstr(how, "long")) out->end(out);
  }
  --running;
  return 0;
}

/* Every text of the first input, doubled. */
static int32_t doubles(void* instance, const easyrec_input* in, uint32_t count, uint32_t elements, easyrec_output* out,
                       char* error, size_t room) {
  (void)instance, (void)count, (void)error, (void)room;
  for (uint32_t e = 0; e < elements; ++e) {
    for (uint32_t i = easyrec_begin(in, e); i < easyrec_end(in, e); ++i) {
      char pair[256];
      const size_t n = in->texts[i].size < 128 ? in->texts[i].size : 128;
      memcpy(pair, in->texts[i].data, n);
      memcpy(pair + n, in->texts[i].data, n);
      out->text(out, pair, 2 * n);
    }
    out->end(out);
  }
  return 0;
}
static const easyrec_operator operators[] = {
    {"Sums", 1, 3, EASYREC_NUMBER, EASYREC_NUMBER, 0, create, sums, free},
    {"Doubles", 1, 1, EASYREC_TEXT, EASYREC_TEXT, 1, create, doubles, free},
};
static const easyrec_library library = {EASYREC_OPERATOR_ABI, 2, operators};
const easyrec_library* easyrec_operators(void) { return &library; }
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = build(tmp_path_factory.mktemp("many"), MANY)
    assert load_operators(path) == ("Sums", "Doubles")
    return path


def sums(kit, how="", **more):
    feature = {"type": "custom", "name": "f", "operator_name": "Sums", "expression": ["user:a", "item:b"]}
    return kit.load([{**feature, "operator_params": {"how": how}, **more}])


def test_the_guides_library_prints_what_the_guide_says(tmp_path):
    """In a process of its own, since a library stays loaded."""
    build(tmp_path, block("c"))
    command = [sys.executable, "-c", block("python", 1)]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.stdout == block("text"), made.stderr


def test_loading_again_gives_the_same_names(many):
    assert load_operators(many) == ("Sums", "Doubles")


def test_a_compiled_operator_computes_rows(kit, many):
    data = {"a": pa.array([[1.5, 2], [], None]), "b": pa.array(["1", "7", None])}
    assert sums(kit).transform(data)["f"].values[:, 0].tolist() == [4.5, 7, 0]


def test_a_column_of_one_row_stands_beside_all(kit, many):
    assert sums(kit).transform({"a": [1, 2, 5], "b": [10]})["f"].values[:, 0].tolist() == [11, 12, 15]


def test_texts_become_ids_in_a_sequence(kit, many):
    feature = {"type": "custom", "name": "f", "operator_name": "Doubles", "expression": ["item:a"]}
    shape = {"vocab_list": ["xx", "中中"], "value_dim": 0, "sequence_length": 5}
    table = kit.load([feature | shape]).transform({"a": ["x;中;y", "x\x1d中"]})
    assert table["f"].values.tolist() == [2, 3, 1, 2, 3]
    assert table["f"].lengths.tolist() == [3, 1]


def test_its_complaints_of_a_value_name_the_row(kit, many):
    data = {"a": pa.array(["1", "6", "oops"]), "b": pa.array([2, 7, 7])}
    table = sums(kit, default_value="-1").transform(data, bad_rows="default")
    assert table["f"].values[:, 0].tolist() == [3, -1, -1]
    assert [(b.row, b.column, b.reason) for b in table.bad] == [
        (1, "a", "thirteen"),
        (2, "a", "'oops' is not a number"),
    ]
    with pytest.raises(DataError, match="row 1, column 'a': thirteen"):
        sums(kit).transform(data)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fails", "operator 'Sums' failed: the well is dry"),
        ("texts", "a value of another form than the result that it states"),
        ("short", "made 2 of 3 elements"),
        ("long", "more than the 3 elements asked for"),
    ],
)
def test_a_failing_run_is_told(kit, many, how, message):
    with pytest.raises(DataError, match=message):
        sums(kit, how).transform({"a": [1, 2, 3], "b": [1, 2, 3]})


def test_a_complaint_of_an_input_that_it_lacks_is_told(kit, many):
    with pytest.raises(DataError, match="complains of input 9, which it does not have"):
        sums(kit).transform({"a": [7], "b": [7]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"how": "grumble"}, "operator_params\n.*operator 'Sums' refuses: no grumbling"),
        ({"how": "refuse"}, "refuses: it does not say why"),
        ({"expression": ["user:a"] * 4}, "Sums needs 1 to 3 columns, but there are 4"),
    ],
)
def test_what_it_refuses_is_an_error_of_the_config(kit, many, change, message):
    with pytest.raises(ConfigError, match=message):
        sums(kit, **change)


def test_one_that_is_not_reentrant_runs_in_one_thread_at_a_time(kit, many):
    generator = sums(kit, "collisions")
    rows = np.arange(60_000) % 7
    table = generator.transform({"a": rows, "b": rows}, threads=4)
    assert set(table["f"].values[:, 0].tolist()) == {0}


def test_the_result_depends_neither_on_threads_nor_on_blocks(kit, many):
    generator = sums(kit)
    rows = np.arange(20_000) % 6
    data = {"a": rows, "b": rows}
    kit.equal(generator.transform(data, threads=4), generator.transform(data))
    assert generator.transform(data)["f"].values[:, 0].tolist() == (2.0 * rows).tolist()


NONE = "int nothing(void);\nint nothing(void) { return 1; }\n"
EMPTY = '#include "easyrec_operator.h"\nstatic const easyrec_library library = {%s};\n' + (
    "const easyrec_library* easyrec_operators(void) { return &library; }\n"
)
TAKEN = MANY.replace("Sums", "EditDistance")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (NONE, "exports no function easyrec_operators"),
        (EMPTY % "99, 0, 0", "speaks version 99 of easyrec_operator.h, but this program 1"),
        (EMPTY % "EASYREC_OPERATOR_ABI, 0, 0", "has no operators"),
        (TAKEN, "there is an operator 'EditDistance' already"),
        (MANY.replace("Sums", "Other"), "there is an operator 'Doubles' already"),
        (MANY.replace("Sums", "Third").replace("1, 3, EASYREC", "3, 1, EASYREC"), "operator 'Third' lacks a function"),
    ],
    ids=["symbol", "version", "empty", "built-in", "twice", "inputs"],
)
def test_a_library_that_cannot_work_is_refused(many, tmp_path, source, message):
    with pytest.raises(ConfigError, match=message):
        load_operators(build(tmp_path, source))


def test_what_is_no_library_is_refused(tmp_path):
    (tmp_path / "text.so").write_text("hello")
    with pytest.raises(ConfigError, match=r"text.so.*\n.*\n.*cannot be loaded"):
        load_operators(tmp_path / "text.so")


def test_a_saved_generator_loads_only_where_the_library_is(kit, many, tmp_path):
    sums(kit).save(tmp_path / "saved")
    again = FeatureGenerator.load(tmp_path / "saved")
    kit.equal(again.transform({"a": [1], "b": [2]}), sums(kit).transform({"a": [1], "b": [2]}))
    code = f"""
from feature_generator import *
try:
    FeatureGenerator.load({json.dumps(str(tmp_path / "saved"))})
except ConfigError as error:
    print(error)
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "unknown operator 'Sums'" in made.stdout
    assert "load_operators" in made.stdout


def test_the_command_line_loads_a_library(many, tmp_path):
    (tmp_path / "f.yaml").write_text(
        "features:\n  - {type: custom, name: f, operator_name: Sums, expression: ['user:a'], boundaries: [1]}\n"
    )
    (tmp_path / "rows.csv").write_text("a\n0\n5\n")
    command = [
        sys.executable,
        "-m",
        "easyrec.cli",
        "fg",
        "run",
        "-c",
        "f.yaml",
        "--input",
        "rows.csv",
        "--output",
        "o.parquet",
    ]
    without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert without.returncode == 2
    assert "unknown operator 'Sums'" in without.stderr
    made = subprocess.run(
        [*command, "--operators", str(many)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "o.parquet").is_file()
