import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, FeatureGenerator, native
from feature_generator.text.normalizer import OPTIONS

CASES = {"TEXT_LOWER2UPPER", "TEXT_UPPER2LOWER"}
ALPHABET = "aB1 ,\u3000Ａ１，漢臺灣中;\x1d|é"
BASE = {"type": "text_normalizer", "name": "f", "expression": "item:c", "hash_bucket_size": 1000}


@st.composite
def configs(draw):
    options = draw(st.sets(st.sampled_from(OPTIONS)).filter(lambda chosen: not chosen >= CASES).map(sorted))
    return BASE | {
        "norm_options": options,
        "max_length": draw(st.sampled_from([None, 1, 4])),
        "default_value": draw(st.sampled_from(["", "Ａ"])),
        "value_dim": draw(st.sampled_from([None, 0, 1])),
    }


@given(st.data())
@settings(max_examples=3 * settings.default.max_examples)
def test_compiled_equals_reference_in_every_shape(kit, data):
    config = data.draw(configs())
    shape = data.draw(st.sampled_from(["plain", "simple", "group"]))
    if shape == "simple":
        config |= data.draw(kit.sequences)
    if shape == "group":
        config = {"type": "sequence", "name": "s", "features": [config], **data.draw(kit.sequences)}
    texts = st.lists(st.none() | st.text(ALPHABET, max_size=9), max_size=40).map(
        lambda cells: pa.array(cells, pa.string())
    )
    kinds = kit.plain if shape == "plain" else kit.plain | kit.nested
    column = data.draw(texts | kit.arrays(kinds, data.draw(st.integers(0, 40))))
    columns = {"s__c" if shape == "group" else "c": column}
    generator = kit.load([config])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@pytest.mark.parametrize("shape", [{}, {"sequence_length": 3, "value_dim": 0}], ids=["plain", "sequence"])
def test_ten_thousand_texts_in_blocks_and_on_threads(kit, shape):
    draw = random.Random(5)
    texts = pa.array(["".join(draw.choices(ALPHABET, k=draw.randrange(12))) for _ in range(10_000)])
    generator = kit.load([BASE | {"norm_options": [4 + 8 + 16 + 32 + 512]} | shape])
    table = generator.transform({"c": texts}, threads=2)
    kit.compare(generator, {"c": texts}, table)
    kit.equal(table, generator.transform({"c": texts}))


def test_split_characters_stand_between_single_blanks(kit):
    generator = kit.load([BASE | {"norm_options": ["TEXT_SPLITCHRS"]}])
    assert generator.transform({"c": pa.array(["中文"])})["f"].values.tolist() == [
        native.murmur64a("中 文".encode()) % 1000
    ]


def test_without_options_it_is_upper_case_half_width_simplified_and_without_signs(kit):
    assert kit.load([BASE]).values({"c": pa.array(["ｉＰhone 15，臺灣！"])})["f"].to_pylist() == [["IPHONE 15台湾"]]


def test_a_text_of_which_nothing_is_left_is_missing_and_the_default_stays_as_it_is(kit):
    generator = kit.load([BASE | {"default_value": "no!"}])
    ids = generator.transform({"c": pa.array(["!!", None])})["f"].values.tolist()
    assert ids == [native.murmur64a(b"no!") % 1000] * 2


def test_the_order_in_which_options_are_given_changes_nothing(kit):
    first, second, mask = (
        kit.load([BASE | {"norm_options": options}])
        for options in (["TEXT_FILTER", "TEXT_UPPER2LOWER"], ["TEXT_UPPER2LOWER", "TEXT_FILTER"], 36)
    )
    assert first.fingerprint == second.fingerprint == mask.fingerprint


def test_stop_characters_belong_to_the_generator(kit, tmp_path):
    (tmp_path / "stops.txt").write_text("的\n，\n", encoding="utf-8")
    path = tmp_path / "features.yaml"
    path.write_text(
        "features:\n"
        "  - {type: text_normalizer, name: f, expression: 'item:c', hash_bucket_size: 9, norm_options: [TEXT_SBC2DBC],"
        " stop_char_file: stops.txt}\n",
        encoding="utf-8",
    )
    generator = FeatureGenerator.load(path)
    data = {"c": pa.array(["红色的，裙子,"])}
    assert generator.values(data)["f"].to_pylist() == [["红色裙子,"]]
    generator.save(tmp_path / "saved")
    before = generator.fingerprint
    (tmp_path / "stops.txt").write_text("红", encoding="utf-8")
    again = FeatureGenerator.load(tmp_path / "saved")
    assert again.fingerprint == before != FeatureGenerator.load(path).fingerprint
    kit.equal(again.transform(data), generator.transform(data))


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"norm_options": ["TEXT_UPPER2LOWER", "TEXT_LOWER2UPPER"]}, "norm_options", "contradict each other: give one"),
        ({"norm_options": ["TEXT_FILTR"]}, "norm_options", "TEXT_FILTER"),
        ({"norm_options": 1}, "norm_options", "the mask 1 holds 1, which is no option"),
        ({"max_length": 0}, "max_length", "greater than or equal to 1"),
        ({"stop_char_file": "nowhere.txt"}, "stop_char_file", "cannot read 'nowhere.txt': No such file"),
    ],
)
def test_a_wrong_config_is_told_at_load(kit, config, key, message):
    with pytest.raises(ConfigError, match=message) as caught:
        kit.load([BASE | config])
    assert all(key in problem.where for problem in caught.value.problems)


def test_without_the_extra_the_error_names_the_command(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['opencc'] = None\n"
        "from feature_generator import ConfigError, FeatureGenerator\n"
        "try:\n"
        f"    FeatureGenerator.load({{'features': [{BASE!r}]}})\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
        f"FeatureGenerator.load({{'features': [{BASE | {'norm_options': ['TEXT_FILTER']}!r}]}})\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "this needs the package 'opencc': pip install 'easyrec-torch[text]'" in done.stdout
    assert "features[0] 'f'" in done.stdout
