"""The config without features: whatever goes, what is left is valid, and what must stay says why."""

from easyrec.check import build
from easyrec.config.experiment import experiment_of
from easyrec.config.select import SelectConfig
from easyrec.tune.select.reduced import Reduction
from easyrec.tune.select.units import units_of
from feature_generator.config import Document

FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 20},
    {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 30, "embedding_dim": 8},
    {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 10},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "expr", "name": "rebate", "expression": "price * 0.1", "variables": ["feature:price"]},
    {"type": "id", "name": "country", "expression": "user:country", "num_buckets": 5},
    {
        "type": "sequence",
        "name": "clicks",
        "sequence_length": 10,
        "features": [
            {"type": "id", "name": "item", "expression": "item:item", "embedding_name": "item", "num_buckets": 30, "embedding_dim": 8},
            {"type": "id", "name": "cate", "expression": "item:cate", "embedding_name": "cate", "num_buckets": 10},
            {"type": "id", "name": "hour", "expression": "user:hour", "num_buckets": 24},
        ],
    },
]  # fmt: skip
READ = ["user", "item", "cate", "price", "rebate", "country"]


def reduction(model, **more):
    raw = {"data": {"labels": ["click"]}, "features": FEATURES, "model": model, **more}
    document = Document.of(raw)
    return Reduction(document, units_of(experiment_of(document), SelectConfig()))


def took_out(made, units):
    made.take_out(units, dict.fromkeys(units, "it is noise"))
    build(made.experiment())
    return made


DIN = {
    "type": "din",
    "embedding_dim": 4,
    "hidden": [8],
    "groups": {"deep": {"features": READ, "sequences": [{"sequence": "clicks", "query": {"item": "item"}}]}},
}


def test_a_candidate_stays_as_long_as_its_sequence_is_compared_with_it():
    made = took_out(reduction(DIN), ["item", "user"])
    assert list(made.removed) == ["user"]
    assert made.kept == {"item": "needed: 'clicks' is compared with 'item', the candidate of 'clicks__item'"}


def test_a_candidate_goes_with_the_child_that_is_compared_with_it():
    made = took_out(reduction(DIN), ["clicks__item", "item"])
    assert set(made.removed) == {"clicks__item", "item"}
    (entry,) = made.experiment().document.raw["model"]["groups"]["deep"]["sequences"]
    assert entry == {"sequence": "clicks"}  # no query of what is gone
    assert list(made.experiment().generator.outputs) == [
        "user", "cate", "price", "rebate", "country", "clicks__cate", "clicks__hour"
    ]  # fmt: skip


def test_a_sequence_goes_with_its_last_child():
    model = {**DIN, "type": "deepfm", "embedding_dim": 8}
    made = took_out(reduction(model), ["clicks__item", "clicks__cate", "clicks__hour"])
    raw = made.experiment().document.raw
    assert raw["model"]["groups"]["deep"]["sequences"] == []
    assert "clicks" not in [feature["name"] for feature in raw["features"]]


def test_a_model_without_its_sequence_keeps_it():
    made = took_out(reduction(DIN), ["clicks__hour", "clicks__cate", "clicks__item"])
    assert len(made.removed) == 2
    assert len(made.kept) == 1
    assert "needs a sequence in the group 'deep'" in next(iter(made.kept.values()))


def test_a_feature_that_others_read_stays_as_an_intermediate():
    made = took_out(reduction({**DIN, "type": "deepfm", "embedding_dim": 8}), ["price", "country"])
    assert set(made.removed) == {"price", "country"}
    raw = {feature["name"]: feature for feature in made.experiment().document.raw["features"]}
    assert raw["price"]["stub_type"] is True
    assert "country" not in raw
    both = took_out(reduction({**DIN, "type": "deepfm", "embedding_dim": 8}), ["price", "rebate"])
    assert not {"price", "rebate"} & {feature["name"] for feature in both.experiment().document.raw["features"]}


def test_a_group_that_the_model_needs_keeps_its_last_feature():
    groups = {"user": ["user", "country"], "item": ["item", "cate"]}
    made = took_out(
        reduction({"type": "dssm", "embedding_dim": 4, "hidden": [8], "groups": groups}), ["user", "country"]
    )
    assert list(made.removed) == ["user"]
    assert "has no features" in made.kept["country"]


def test_a_domain_keeps_its_one_feature():
    groups = {"deep": ["user", "item", "cate"], "domain": ["country"]}
    model = {"type": "star", "embedding_dim": 4, "hidden": [8], "auxiliary": [8], "groups": groups}
    made = took_out(reduction(model), ["country", "cate"])
    assert list(made.removed) == ["cate"]
    assert made.kept["country"].startswith("needed: ")


def test_a_backbone_keeps_what_its_blocks_name():
    blocks = [
        {"name": "fields", "type": "fields"},
        {"name": "fm", "type": "fm", "input": "fields"},
        {"name": "deep", "type": "mlp", "input": {"type": "flat"}, "hidden": [8]},
    ]
    groups = {"deep": ["user", "cate", "country"]}
    model = {"type": "backbone", "embedding_dim": 4, "blocks": blocks, "heads": [{"input": "deep", "terms": ["fm"]}]}
    made = took_out(reduction({**model, "groups": groups}), ["user", "cate", "country"])
    assert len(made.removed) == 2
    assert made.kept == {"country": "needed: it is the last feature"}


def test_what_an_export_names_stays():
    made = took_out(
        reduction(
            {**DIN, "type": "deepfm", "embedding_dim": 8}, export={"tables": {"country": "int8", "default": "fp32"}}
        ),
        ["country", "user"],
    )
    assert list(made.removed) == ["user"]
    assert "country" in made.kept


def test_the_config_that_is_given_stays_as_it_is():
    made = reduction(DIN)
    before = repr(made.document.raw)
    took_out(made, ["user", "country", "clicks__hour"])
    assert repr(made.document.raw) == before
