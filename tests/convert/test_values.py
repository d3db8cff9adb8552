"""Converted features give what the peers' generators give: values worked by hand from their documented rules.

Hashes are those of the reference: MurmurHash64A and FarmHash Fingerprint64 of short texts.
"""

from pathlib import Path

import numpy as np
import pytest

from easyrec.convert import convert
from feature_generator import FeatureGenerator

CONFIGS = Path(__file__).parent / "configs"
MURMUR_ABC = 0x32D82BF8ED3DBA39
FARM_ONE, FARM_HELLO = 0x811F023A122D0BE1, 0xB48BE5A931380CE8


def generated(name, rows, only=None):
    draft = convert(CONFIGS / name).draft
    features = [f for f in draft.features if only is None or f["name"] in only]
    mode = "encoded" if draft.data.get("fg") == "encoded" else "raw"
    return FeatureGenerator.load({"features": features, "hash": draft.hash}, mode=mode).transform(rows)


def ids(table, name):
    """Ids of each row; of a sequence those of its elements."""
    column, rows = table[name], table.num_rows
    return [column.slice(i, i + 1).values.tolist() for i in range(rows)]


def test_torcheasyrec_rows():
    table = generated(
        "tz_din.config",
        {
            "rider_id": ["abc", None, "abc"],
            "stop_id": [7, 299, None],
            "zone": ["south", "west", None],
            "fare": [1.5, 7.3, None],
            "minutes": [2.5, None, 0.0],
            "rides__stop_id": ["1|2||300", None, "5"],
            "rides__zone": ["east||west|south", "", "north"],
            "rides__fare": ["1|2.5||4", None, "0.5"],
        },
    )
    assert ids(table, "rider_id") == [[MURMUR_ABC % 1000], [], [MURMUR_ABC % 1000]]
    assert ids(table, "stop_id") == [[7], [299], []]
    # The list is [north, <OOV>, north, south, east]: words count from 2, the default is a word and keeps its id.
    assert ids(table, "zone") == [[3], [1], [2]]
    assert ids(table, "fare") == [[1], [3], [0]]  # an edge belongs to the upper bucket; the default 0 is below all
    np.testing.assert_array_equal(table["minutes"].values[:, 0], np.float32([2.5, 5.0, 0.0]))
    # Empty elements and empty sequences hold the default, "0" where the child has none; 300 is outside of 0 .. 299.
    assert ids(table, "rides__stop_id") == [[1, 2, 0, 0], [0], [5]]
    assert ids(table, "rides__zone") == [[4, 2, 1, 3], [2], [2]]
    assert [v[0] for row in ids(table, "rides__fare") for v in row] == [1.0, 2.5, 0.0, 4.0, 0.0, 0.5]


def test_easyrec_rows():
    table = generated(
        "er_deepfm.config",
        {
            "mileage": [50.0, None, 200.0],
            "doors": [3, 9, None],
            "color": ["blue", "green", ""],
            "owner": ["1", "hello", None],
            "n1": [1.0, 0.5, 10.0],
            "n2": [None, 5.0, 4.999],
        },
    )
    # min_val 0 and max_val 200 scale to [0, 1]; default_val 50 is scaled as well.
    np.testing.assert_allclose(table["mileage"].values[:, 0], np.float32([0.25, 0.25, 1.0]))
    assert ids(table, "doors") == [[3], [0], [0]]  # TensorFlow's identity column: outside is 0; an empty INT32 is 0
    assert ids(table, "color") == [[1], [0], []]  # words outside share the id of the first
    assert ids(table, "owner")[:2] == [[FARM_ONE % 100], [FARM_HELLO % 100]]
    again = generated("er_deepfm.config", {"owner": ["nobody"]}, only=["owner"])
    assert ids(table, "owner")[2] == ids(again, "owner")[0]  # default_val
    assert ids(table, "n1") == [[1], [0], [3]]  # boundaries sorted: 1, 5, 10
    assert ids(table, "n2") == [[0], [2], [1]]  # an empty DOUBLE is 0; the shared config


def test_easyrec_histories():
    table = generated(
        "er_din.config",
        {
            "user_id": ["1"],
            "brand": ["1"],
            "cate": ["4"],
            "brands": ["1|hello|1"],
            "cates": ["3|25|19"],
            "tags": ["1:0.5;hello:2"],
            "prices": ["0.5|1|7"],
        },
    )
    assert ids(table, "brands") == [[FARM_ONE % 50, FARM_HELLO % 50, FARM_ONE % 50]]
    assert ids(table, "cates") == [[3, 0, 19]]
    assert ids(table, "tags") == [[FARM_ONE % 30, FARM_HELLO % 30]]
    assert table["tags"].weights.tolist() == [0.5, 2.0]
    assert ids(table, "prices") == [[0, 1, 2]]


def test_fg_json_rows():
    names = ("uid", "city", "age", "uid_city", "clicks", "words")
    table = generated(
        "fg.json",
        {
            "uid": ["abc", "ua"],
            "city": ["rome,paris", "ia,ib"],
            "age": [None, 30.5],
            "clicks__cat": ["3||4", None],
            "clicks__price": ["1.5|2|", ""],
            "words": ["x;y;z;x;y", "x"],
        },
        only=names,
    )
    assert ids(table, "uid") == [[MURMUR_ABC % 200], ids(table, "uid")[1]]
    assert ids(table, "city") == [[2, 1], [1, 1]]  # the list as it stands, its <OOV> at 1
    assert ids(table, "age") == [[1], [2]]
    assert ids(table, "uid_city")[1] == [37, 90]  # ua_ia, ua_ib
    assert ids(table, "clicks__cat") == [[3, 0, 4], [0]]
    assert [v[0] for row in ids(table, "clicks__price") for v in row] == [1.5, 2.0, 0.0, 0.0]
    assert ids(table, "words") == [[30, 4, 35, 30], [35]]  # modulo 100 x 35, y 30, z 54; the newest four


def test_encoded_rows():
    table = generated(
        "tz_encoded.config",
        {"a": ["1,2", None], "b": [3, 1], "c": [2, 0], "d": ["0.5,1", None], "e": ["1;2,3", None]},
    )
    assert ids(table, "a") == [[1, 2], [0]]
    assert ids(table, "b") == [[3], [1]]
    assert ids(table, "c") == [[2], [0]]
    assert table["d"].values.tolist() == [[0.5, 1.0], [0.0, 0.0]]
    assert ids(table, "e") == [[1, 2, 3], []]


@pytest.mark.parametrize("name", ["tz_din.config", "er_din.config"])
def test_hashes_are_those_of_the_peer(name):
    assert convert(CONFIGS / name).draft.hash == {"tz": "murmur64a", "er": "farmhash"}[name[:2]]


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("tags", {"tags": ["red:0.5,blue:2,green:1"]}, [2, 3, 1]),
        ("actions", {"actions": ["buy\x1dview"]}, [2]),  # the mean of 4 and 1.5, cut to a whole number
        ("cat_clicks", {"cat_map": ["c1:3\x1dc2:7"], "cat": ["c1\x1dc2"]}, [2]),  # the larger is 7, above 5
        ("cat_clicks", {"cat_map": ["c1:3"], "cat": ["c9"]}, [0]),  # nothing matches: the default 0
        ("ctr", {"pv": [0.0], "click": [3.0]}, [2]),  # sigmoid(0) is on the edge 0.5
        ("title_hit", {"query": ["red shoe"], "title": ["red hat"]}, [[0.5]]),
        ("taste", {"taste": ["a=0.5|b=2"], "traits": ["a=2|b=1|c=9"]}, [[3.0]]),
        ("open_items", {"items": ["1,2,3"], "open": ["true,false,true"]}, [1, 3]),
        ("distance", {"query": ["裙子"], "title": ["连衣裙"]}, [1]),  # three edits lie in [0, 5)
    ],
)
def test_other_types_of_torcheasyrec(name, columns, expected):
    table = generated("tz_every_type.config", columns, only=[name])
    values = table[name].values.tolist()
    assert values == expected


def test_rows_of_the_older_fg_json():
    table = generated(
        "fg_rtp.json",
        {
            "uid": ["abc", None],
            "moods": ["abc|abc", "x"],
            "tempo": [60.0, None],
            "cover": ["1|2|3", None],
            "genres": ["rock:abc|folk:y", "rock:1"],
            "genre": ["rock", "jazz"],
            "plays__id": ["abc;y", None],
            "plays__at": ["1;2.5", None],
            "covers__id": ["abc", "abc"],
        },
    )
    assert ids(table, "uid") == [[MURMUR_ABC % 90], []]
    assert ids(table, "moods")[0] == [MURMUR_ABC % 30] * 2  # split at multi_val_sep
    assert len(ids(table, "uid_moods")[0]) == 2  # each mood crossed with the user
    assert ids(table, "tempo") == [[1], [0]]  # 60, 90.5, 120; the default 0 is below all
    assert table["cover"].values.tolist() == [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    assert ids(table, "liked_genre")[0] == [MURMUR_ABC % 60]
    assert ids(table, "plays__id")[0][0] == MURMUR_ABC % 40
    assert [v[0] for row in ids(table, "plays__at") for v in row] == [1.0, 2.5, 0.0]
    assert ids(table, "covers__id") == [[MURMUR_ABC % 40]] * 2


def test_functions_of_tensorflow_and_histories_of_numbers():
    rows = {"user_age": [-8.0, 0.5], "tempos": ["59;60;200", "1;2;3;4;5;6;7;130"]}
    table = generated("er_bst.config", rows, only=["grown", "tempos"])
    np.testing.assert_allclose(table["grown"].values[:, 0], np.float32([np.log(9) / 2, np.log(1.5) / 2]), rtol=1e-6)
    assert ids(table, "tempos") == [[0, 1, 2], [0, 0, 0, 0, 0, 0, 2]]  # the newest seven of eight


def test_an_operator_of_a_sequence_reads_columns_of_both_kinds():
    table = generated("tz_one_encoder.config", {"now": [10.0, 3.0], "heard__at": ["1;4", "2"]}, only=["heard"])
    assert [v[0] for row in ids(table, "heard__gap") for v in row] == [9.0, 6.0, 1.0]
