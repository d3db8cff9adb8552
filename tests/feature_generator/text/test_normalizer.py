import unicodedata

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from feature_generator.text import plain
from feature_generator.text.normalizer import BITS, OPTIONS, Normalizer, NormalizerConfig, stop_chars
from feature_generator.text.simplified import EARLIEST, converter

# All that Unicode has assigned, and the ends of what it has not.
EVERY = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Co", "Cn")]
EVERY += ["\ud7ff", "\ue000", "\uf8ff", "\U00040000", "\U000dffff", "\U0010ffff"]
ODD = "aZ09 \t\n\v\x1d\x1f\x85\u00a0\u3000\u2028\u200b,.!-_ßİıſŉǰǅΣςᾀﬁ中文漢臺灣乾隆乾燥頭髮發展裏里〇々！～ＡｚＦ｟\uff00\U00020000\U0002f81a\U0001f600\ufb01é́"
TEXT = st.one_of(st.text(st.sampled_from(ODD), max_size=12), st.text(st.sampled_from(EVERY), max_size=6))
CONFIGS = st.builds(
    lambda options, length: NormalizerConfig(norm_options=options, max_length=length),
    st.sets(st.sampled_from(OPTIONS)).filter(lambda s: not {"TEXT_LOWER2UPPER", "TEXT_UPPER2LOWER"} <= s).map(sorted),
    st.sampled_from([None, None, 1, 5]),
)


def run(texts, stops="", **config):
    return Normalizer(NormalizerConfig(**config), stops)(pa.array(texts, pa.large_string())).to_pylist()


@given(st.lists(TEXT, max_size=8), CONFIGS, st.sampled_from(["", "a,中-]^\\", "台Z"]), st.integers(0, 3))
@settings(max_examples=400)
def test_an_array_becomes_what_each_text_becomes(texts, config, stops, start):
    texts = pa.array(texts, pa.large_string())[start:]
    wanted = [plain.normalize(t, config, stops) for t in texts.to_pylist()]
    made = Normalizer(config, stops)(texts)
    made.validate(full=True)
    assert made.to_pylist() == wanted


@pytest.mark.parametrize("option", [o for o in OPTIONS if o != "TEXT_CHT2CHS"])
def test_every_character_of_unicode_becomes_what_plain_python_says(option):
    config = NormalizerConfig(norm_options=[option])
    made = Normalizer(config)(pa.array(EVERY, pa.large_string())).to_pylist()
    assert [(c, m) for c, m in zip(EVERY, made, strict=True) if m != plain.normalize(c, config)] == []


@pytest.mark.parametrize(
    ("option", "text", "made"),
    [
        ("TEXT_LOWER2UPPER", "Red schuß ǆ", "RED SCHUß Ǆ"),
        ("TEXT_UPPER2LOWER", "RED İΣ", "red iσ"),
        ("TEXT_SBC2DBC", "ＡＢ１２！～　｟中", "AB12!~ ｟中"),
        ("TEXT_CHT2CHS", "臺灣乾隆皇帝的乾燥頭髮", "台湾乾隆皇帝的干燥头发"),
        ("TEXT_FILTER", "C++ (2nd)\té 中，文。\u200b😀_-", "C 2nd\té 中文"),
        ("TEXT_SPLITCHRS", " ab中文c  d〇", "ab 中 文 c d 〇"),
        ("TEXT_REMOVE_SPACE", "a b\t\u3000c\u00a0", "abc"),
    ],
)
def test_each_option_by_hand(option, text, made):
    assert run([text], norm_options=[option]) == [made]


def test_the_default_is_upper_case_half_width_simplified_and_without_signs():
    assert run(["ｉPhone 15，臺灣！"]) == ["IPHONE 15台湾"]


def test_options_apply_in_their_own_order_and_not_in_the_order_given():
    options = ["TEXT_SPLITCHRS", "TEXT_REMOVE_SPACE", "TEXT_FILTER", "TEXT_UPPER2LOWER", "TEXT_SBC2DBC"]
    for given_order in (options, options[::-1]):
        assert run(["Ａ 中，文 B"], norm_options=given_order) == ["a 中 文 b"]


def test_the_length_counts_characters_of_the_normalised_text_and_not_the_blanks_between_split_ones():
    assert run(["!!中文abc"], norm_options=["TEXT_FILTER", "TEXT_SPLITCHRS"], max_length=3) == ["中 文 a"]
    assert run(["😀é中"], norm_options=[], max_length=2) == ["😀é"]


def test_stop_characters_go_before_and_after_the_conversion():
    assert stop_chars("\ufeff，\r\n a,\n".encode()) == ",a，"
    assert run(["，x, Aa"], "，a", norm_options=["TEXT_SBC2DBC", "TEXT_UPPER2LOWER"]) == ["x, "]
    assert run(["x]^-\\[y"], "]^-\\[", norm_options=[]) == ["xy"]
    with pytest.raises(ValueError, match="is not UTF-8 at byte 1"):
        stop_chars(b"a\xff")


def test_masks_and_names_say_the_same():
    def options(value):
        return NormalizerConfig(norm_options=value).norm_options

    assert options(4 + 8) == options(["TEXT_SBC2DBC", "TEXT_UPPER2LOWER"]) == ["TEXT_UPPER2LOWER", "TEXT_SBC2DBC"]
    assert options([512, "TEXT_REMOVE_SPACE"]) == ["TEXT_SPLITCHRS", "TEXT_REMOVE_SPACE"]
    assert [options(bit) for bit in BITS] == [[name] for name in BITS.values()]
    assert options([]) == options(0) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (6, "contradict each other"),
        (["TEXT_LOWER2UPPER", 4], "contradict each other"),
        (65, "the mask 65 holds 65, which is no option; known: TEXT_LOWER2UPPER 2"),
        (-2, "the mask -2 holds -2"),
        (["TEXT_UPPER"], "TEXT_UPPER2LOWER"),
        ("TEXT_FILTERS", "list"),
        ([True], "TEXT_UPPER2LOWER"),
    ],
)
def test_wrong_options_are_told(value, words):
    with pytest.raises(ValidationError, match=words):
        NormalizerConfig(norm_options=value)


def test_one_option_stands_without_a_list():
    assert NormalizerConfig(norm_options="TEXT_FILTER").norm_options == ["TEXT_FILTER"]


# --------------------------------------------------------------------------------- widths, scripts, classes


def test_full_width_becomes_half_width_in_all_of_unicode():
    made = dict(zip(EVERY, run(EVERY, norm_options=["TEXT_SBC2DBC"]), strict=True))
    table = {chr(c): chr(c - 0xFEE0) for c in range(0xFF01, 0xFF5F)} | {"\u3000": " "}
    assert {c: m for c, m in made.items() if m != c} == table


@given(st.lists(st.text(st.sampled_from("漢臺灣乾隆乾燥發\n\r\x00a \U0002f81a"), max_size=10), max_size=9))
def test_one_conversion_of_all_texts_equals_one_of_each(texts):
    assert run(texts, norm_options=["TEXT_CHT2CHS"]) == [converter().convert(text) for text in texts]


def test_no_character_is_converted_together_with_the_line_feed_beside_it():
    alone = [converter().convert(c) for c in EVERY]
    made = run([f"{c}\n{c}" for c in EVERY], norm_options=["TEXT_CHT2CHS"])
    assert made == [f"{c}\n{c}" for c in alone]
    assert min(c for c, a in zip(EVERY, alone, strict=True) if c != a) >= chr(EARLIEST)


def test_cases_are_those_of_pyarrow_for_what_both_know():
    cased = [c for c in EVERY if unicodedata.category(c) in ("Lu", "Ll", "Lt")]
    array = pa.array(cased)
    for option, theirs in (("TEXT_LOWER2UPPER", pc.utf8_upper(array)), ("TEXT_UPPER2LOWER", pc.utf8_lower(array))):
        made = run(cased, norm_options=[option])
        odd = {
            c
            for c, a, b in zip(cased, made, theirs.to_pylist(), strict=True)
            if a != b and unicodedata.category(b) != "Cn"
        }
        assert odd <= {"ß"}


def test_what_the_filter_keeps_are_letters_marks_numbers_and_white_space():
    assert run(["aé\u0301中1Ⅷ \t"], norm_options=["TEXT_FILTER"]) == ["aé\u0301中1Ⅷ \t"]
    assert run([",_+€😀\u200b\x00\ue000"], norm_options=["TEXT_FILTER"]) == [""]
    assert run(["a \t\u3000\u2028\x85b"], norm_options=["TEXT_REMOVE_SPACE"]) == ["ab"]
