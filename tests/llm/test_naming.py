"""Free names as ids: by form, words, letters, meaning, titles and paths; strange ones are turned away."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError
from easyrec.llm.embedders import Embedder
from easyrec.llm.naming import Calibration, Names, NamesConfig
from easyrec.llm.naming.forms import folded
from easyrec.llm.naming.letters import Letters, alike, dice
from easyrec.llm.naming.mending import Mender
from easyrec.llm.naming.scoring import Nearness
from feature_generator.config import Document, validate

pytest.importorskip("tantivy", reason="needs the extra 'rag'")
pytest.importorskip("Stemmer", reason="needs the extra 'rag'")


@pytest.fixture
def table(tmp_path):
    """Writes a table and gives names over it."""
    made = []

    def write(columns, embedder=None, **fields):
        path = tmp_path / f"names{len(made)}.parquet"
        pq.write_table(pa.table(columns), path)
        made.append(Names(NamesConfig(path=str(path), **fields), embedder))
        return made[-1]

    yield write
    for one in made:
        one.close()


SHOP = [
    "Running shoes",
    "Basketball shoes",
    "Café chairs",
    "Frying pans",
    "Snow boots",
    "Car seat covers",
    "Board games",
    "Perfume",
]


@pytest.fixture
def names(table):
    return table({"id": [f"c{n}" for n in range(len(SHOP))], "name": SHOP})


def one(names, text):
    return names.map([text])[0]


@pytest.mark.parametrize(
    ("text", "id", "how"),
    [
        ("Running shoes", "c0", "exact"),
        ("RUNNING-SHOE", "c0", "folded"),
        ("shoes, running", "c0", "folded"),
        ("Ｒｕｎｎｉｎｇ　ｓｈｏｅｓ", "c0", "folded"),
        ("cafe chair", "c2", "folded"),
        ("the covers for car seats", "c5", "folded"),
        ("runing shoes", "c0", "scored"),
        ("fyring pans", "c3", "scored"),
        ("frying pan!!", "c3", "folded"),
        ("pefrume", "c7", "scored"),
        ("tractors", None, "unknown"),
        ("shoes", None, "unknown"),
        ("!!! ...", None, "empty"),
        ("", None, "empty"),
        ("running shoes " * 40, None, "long"),
        ("Run\u200bning shoes", "c0", "exact"),
    ],
)
def test_names_are_mapped_by_what_is_equal_then_by_what_is_near(names, text, id, how):
    found = one(names, text)
    assert (found.id, found.how) == (id, how)
    assert 0.0 <= found.runner_up <= found.score <= 1.0


def test_many_names_keep_their_order_and_equal_ones_their_answer(names):
    asked = ["pefrume", "tractors", "Perfume", "pefrume"] * 3
    assert [found.id for found in names.map(asked)] == ["c7", None, "c7", "c7"] * 3
    assert names.map([]) == []


def test_what_may_mean_two_is_not_taken_for_either(table):
    names = table({"id": [1, 2, 3], "name": ["garden chairs", "garden chars", "ovens"]}, threshold=0.3, margin=0.2)
    assert one(names, "garden chaars").how == "ambiguous"
    assert one(names, "garden chairs").id == 1


def test_levels_above_tell_equal_names_apart(table):
    paths = ["Men > Accessories", "Women > Accessories", "Home > Kitchen > Kettles", "Toys > Cars"]
    names = table({"id": [1, 2, 3, 4], "name": paths}, separator=">")
    assert one(names, "Accessories").how == "ambiguous"
    assert one(names, "accessories > women").how == "folded"  # the words of a path in any order
    assert (one(names, "Mens' wear > Mens > Accessories").id, one(names, "Kettle").id) == (1, 3)
    assert one(names, "Electricals > Kettles").how == "path"
    assert one(names, "kitchen kettles").id == 3
    assert one(names, "Home > Kitchen > Ketles").id == 3
    assert one(names, "Kitchen").id is None  # a level above is no id
    by_column = table({"id": [1, 2], "name": ["Accessories"] * 2, "up": [["Men"], ["Women"]]}, parent="up")
    assert one(by_column, "Women's accessories").id == 2


def test_aliases_are_names_too(table):
    columns = {
        "id": [7, 8],
        "name": ["Snow boots", "Perfume"],
        "zh": ["雪地靴", "香水"],
        "more": [["moon boots"], None],
    }
    names = table(columns, aliases=["zh", "more"])
    assert [found.id for found in names.map(["香 水", "雪地靴", "Moon Boots", "moom boots"])] == [8, 7, 7, 7]
    assert one(names, "moon boots").nearest == "Snow boots"


class Meanings(Embedder):
    """Vectors by the first known word."""

    digest = "meanings"
    KNOWN = {"perfume": 0, "fragrance": 0, "frying": 1, "skillet": 1, "running": 2, "basketball": 3}

    def documents(self, texts, progress=None):
        rows = np.random.default_rng(1).normal(size=(len(texts), 16)) * 0.05
        for row, text in zip(rows, texts, strict=True):
            for word, place in self.KNOWN.items():
                row[place] += 5.0 * (word in text.casefold())
        return rows.astype(np.float32)

    queries = documents


def test_meaning_finds_other_words(table):
    columns = {"id": list(range(len(SHOP))), "name": SHOP}
    assert one(table(columns), "fragrances").id is None
    names = table(columns, Meanings())
    assert (one(names, "fragrances").id, one(names, "skillets").id) == (7, 3)
    assert one(names, "tractors").id is None


def test_titles_tell_other_words(table, tmp_path):
    titles = [f"Brand {n} {word}" for word in ("eau de toilette", "skillet") for n in range(20)]
    ids = [7] * 20 + [3] * 20
    pq.write_table(pa.table({"cate": ids, "title": titles}), tmp_path / "items.parquet")
    columns = {"id": list(range(len(SHOP))), "name": SHOP}
    names = table(columns, titles={"path": str(tmp_path / "items.parquet"), "id": "cate"})
    assert [found.id for found in names.map(["eau de toilette", "toilete eau", "Skillets", "brand"])] == [7, 7, 3, None]


def test_edits_are_those_of_a_plain_table():
    def edits(a, b):
        rows = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
                if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                    rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
        return rows[-1][-1]

    random = np.random.default_rng(0)
    left = ["".join(random.choice(list("abc"), random.integers(0, 9))) for _ in range(200)]
    right = ["".join(random.choice(list("abc"), random.integers(0, 9))) for _ in range(200)]
    expected = [1.0 - edits(a, b) / max(len(a), len(b), 1) for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(alike(left, right), expected, atol=1e-6)
    assert alike([], []).shape == (0,)


def test_common_groups_of_letters_are_those_of_sets():
    def groups(text):
        text = f"^{text}^"
        return {text[i : i + n] for n in (2, 3) for i in range(len(text) - n + 1)}

    left, right = ["boots", "a", "", "雪地靴"], ["books", "a", "b", "雪靴"]
    expected = [
        2 * len(groups(a) & groups(b)) / (len(groups(a)) + len(groups(b))) for a, b in zip(left, right, strict=True)
    ]
    np.testing.assert_allclose(dice(left, right), expected, atol=1e-6)


def test_the_nearest_by_letters_is_found_in_every_batch(monkeypatch):
    words = [f"{a}{b}{c}ing" for a in "bdfg" for b in "aeiou" for c in "lmnr"]
    monkeypatch.setattr("easyrec.llm.naming.letters.AT_ONCE", 3 * len(words))
    asked, near = Letters(words).nearest(words, 1)
    assert asked.tolist() == near.tolist() == list(range(len(words)))


def test_typos_are_mended_and_words_that_are_none_stay():
    mend = Mender(["running", "shoes", "perfume", "tea"])
    assert mend(["runing shoos", "perfmue tae", "tractors 12345", ""]) == [
        "running shoes",
        "perfume tae",
        "tractors 12345",
        "",
    ]


def test_folding_is_done_once():
    for text in ("Ｃafé-CHAIRS", "Straße", "İstanbul", "men's", "雪地靴"):
        assert folded(folded(text)) == folded(text)
    assert folded("Ünïcode  &  Co.") == "unicode co"
    assert folded(unicodedata.normalize("NFD", "Café")) == folded("Café")


def test_a_calibration_learns_what_tells_names_apart(table):
    random = np.random.default_rng(3)
    words = [
        "".join(random.choice(list("bcdfgklmnprst") if i % 2 else list("aeiou")) for i in range(8)) for _ in range(120)
    ]
    names = table({"id": list(range(100)), "name": words[:100]})
    typos = [word[:3] + word[4] + word[3] + word[5:] for word in words]
    ids = [*range(100), *[None] * 20]
    made = names.calibrated(typos, ids)
    assert all(getattr(made, name) >= 0.0 for name in Calibration.model_fields if name != "bias")
    taught = table({"id": list(range(100)), "name": words[:100]}, calibration=made)
    found = [mapped.id for mapped in taught.map(typos)]
    assert sum(a == b for a, b in zip(found, ids, strict=True)) >= 110
    assert sum(one is not None for one in found[100:]) <= 1
    with pytest.raises(DataError, match="too few"):
        names.calibrated(words[:3], [0, 1, 2])


def test_nearer_names_never_score_less():
    random = np.random.default_rng(0)
    near = Nearness(*random.random((7, 50)).astype(np.float32))
    from easyrec.llm.naming.calibrations import OURS

    for made in OURS.values():
        for field in Nearness._fields:
            raised = near._replace(**{field: getattr(near, field) + 0.1})
            assert (made.score(raised) >= made.score(near)).all()


@pytest.mark.parametrize(
    ("columns", "fields", "error"),
    [
        ({"id": [1, 1], "name": ["a", "b"]}, {}, "stands there twice"),
        ({"id": [1, None], "name": ["a", "b"]}, {}, "has no 'id'"),
        ({"id": [1, 2], "name": ["a", ""]}, {}, "2 has no 'name'"),
        ({"id": [1], "title": ["a"]}, {}, "no column 'name'"),
        ({"id": [1, 2], "name": ["a", "b"]}, {"limit": 1}, "more than 1 names"),
        ({"id": [1], "name": ["!!"]}, {}, "holds no name"),
        ({"id": [1], "name": ["a"]}, {"language": "klingon"}, "not known"),
    ],
)
def test_tables_that_cannot_be_are_told(table, columns, fields, error):
    with pytest.raises((DataError, ConfigError), match=error):
        table(columns, **fields)


def test_wrong_configs_are_told():
    def read(**fields):
        return validate(NamesConfig, Document.of({"path": "x.csv", **fields}))

    for fields, error in (
        ({"nmae": "x"}, "did you mean 'name'"),
        ({"threshold": 1.5}, "threshold"),
        ({"separator": "  "}, "something else than spaces"),
        ({"aliases": ["id"]}, "named twice"),
    ):
        with pytest.raises(ConfigError, match=re.escape(error)):
            read(**fields)


def test_one_name_alone_is_a_catalogue(table):
    names = table({"id": [1], "name": ["Perfume"]}, Meanings())
    assert [found.id for found in names.map(["perfume", "perfumme", "tractor"])] == [1, 1, None]
