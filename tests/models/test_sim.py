"""`sim`, `eta`, `sdim` and `twin`: models that differ in the encoder of their sequences."""

import pytest
import torch
from pydantic import ValidationError

from easyrec.errors import ConfigError
from easyrec.layout import Search
from easyrec.models import build
from feature_generator.config import member

TYPES = ["sim", "eta", "sdim", "twin"]
SEARCHES = {"sim": Search("hard", 50, "clicks__cate"), "eta": Search("hash", 50, "clicks__item")}


@pytest.mark.parametrize("name", TYPES)
def test_needs_a_sequence(name):
    with pytest.raises(ValidationError, match=f"'{name}' needs a sequence"):
        member("easyrec.models", name).Config(groups={"deep": ["item"]})


@pytest.mark.parametrize("name", TYPES)
def test_the_default_encoder_is_the_model_s_own(case, task, name):
    made = case(name)
    sequence = made.layouts["deep"].sequence("clicks")
    assert sequence.search == SEARCHES.get(name)
    (encoder,) = build(made.config, made.plan, [task]).encoders.values()
    assert type(encoder).__module__ == f"easyrec.modules.sequence.{name}"


@pytest.mark.parametrize("name", TYPES)
def test_the_logit_is_the_mlp_of_features_and_encoded_steps(case, task, name):
    made = case(name, hidden=[6, 5], activation="relu")
    torch.manual_seed(0)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    (encoder,) = model.encoders.values()
    query = torch.cat([x.feature("deep", "item"), x.feature("deep", "cate")], 1)
    interest = encoder(x.sequence("clicks", "deep"), query)
    hidden = torch.cat([x.tensors["emb:deep"], interest, x.tensors["dense:deep"]], 1)
    for layer in (m for m in model.deep if isinstance(m, torch.nn.Linear)):
        hidden = torch.relu(hidden @ layer.weight.T + layer.bias)
    expected = hidden @ model.head.vector.weight.T + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected.squeeze(1))


@pytest.mark.parametrize("name", TYPES)
def test_short_and_long_term_stand_side_by_side(case, task, name):
    """One sequence twice: the newest steps through `din`, all of them through the search."""
    entries = [
        {"sequence": "clicks"},
        {"sequence": "clicks", "name": "recent", "newest": 3, "encoder": "din"},
        {"sequence": "buys", "newest": 2, "encoder": "pooling"},
    ]
    made = case(name, sequences=entries)
    layout = made.layouts["deep"]
    assert [s.name for s in layout.sequences] == ["clicks", "recent", "buys"]
    assert [s.search for s in layout.sequences] == [SEARCHES.get(name), Search("newest", 3), Search("newest", 2)]
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.flat(x).shape == (5, model.width())
    assert model(x)["logit"].shape == (5,)


def test_a_name_is_needed_to_list_a_sequence_twice(case):
    with pytest.raises(ConfigError, match="'clicks' is listed twice: give one of them another 'name'"):
        case("sim", sequences=[{"sequence": "clicks"}, {"sequence": "clicks", "encoder": "din"}])


def test_an_encoder_that_searches_takes_no_newest(case):
    with pytest.raises(ConfigError, match="encoder 'sim' chooses the steps by itself"):
        case("sim", sequences=[{"sequence": "clicks", "newest": 3}])


def test_a_search_needs_ids_that_mean_the_same(case):
    with pytest.raises(ConfigError, match="'hour' is no child of 'clicks' that shares an embedding_name"):
        case("sim", sequences=[{"sequence": "clicks", "encoder": {"type": "sim", "by": "hour"}}])
    with pytest.raises(ConfigError, match="no child of 'clicks' shares an embedding_name with a feature of the group"):
        case("eta", features=["user"])
