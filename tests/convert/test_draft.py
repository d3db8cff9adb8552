from hypothesis import given
from hypothesis import strategies as st

from easyrec.convert.draft import Draft
from easyrec.convert.report import Entry, Report
from feature_generator.config import read_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: "${" not in text)
SCALAR = st.one_of(
    TEXT,
    st.sampled_from(
        ["yes", "null", "1", "1e3", "0x1", "true", "-", "~", "a: b", "# no", "\x1d", "中文", "\x85", "\ufeff"]
    ),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
KEY = st.text(st.characters(categories=["L", "N", "P", "Z"]), min_size=1, max_size=8).filter(lambda text: text != "<<")
VALUE = st.recursive(
    SCALAR, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEY, inner, max_size=4)), max_leaves=15
)


@given(
    model=st.dictionaries(KEY, VALUE, min_size=1, max_size=4),
    features=st.lists(st.dictionaries(KEY, VALUE, min_size=1)),
)
def test_yaml_reads_back_as_what_was_written(tmp_path_factory, model, features):
    path = tmp_path_factory.getbasetemp() / "draft.yaml"
    draft = Draft(model=model, features=features)
    path.write_text(draft.to_yaml(Report(), ["a head"]), encoding="utf-8")
    assert read_yaml(path).data == draft.plain()


def test_a_comment_stands_above_what_it_is_about():
    draft = Draft(
        data={"train": {"type": "parquet", "path": "x"}, "labels": ["y"]},
        features=[
            {"type": "sequence", "name": "s", "features": [{"type": "id", "name": "a"}, {"type": "id", "name": "b"}]}
        ],
    )
    report = Report(
        [
            Entry("lost", "a.b.path", 1, "why", "what to do", ("data", "train")),
            Entry("changed", "c", 2, "child", "", ("features", 0, "features", 1)),
            Entry("check", "", 0, "all", "", ("features",)),
        ]
    )
    assert draft.to_yaml(report) == (
        "data:\n"
        "  # lost: path: why; what to do\n"
        "  train: {type: parquet, path: x}\n"
        '  labels: ["y"]\n'
        "\n"
        "# check: all\n"
        "features:\n"
        "  - type: sequence\n"
        "    name: s\n"
        "    features:\n"
        "      - {type: id, name: a}\n"
        "      # changed: c: child\n"
        "      - {type: id, name: b}\n"
    )
