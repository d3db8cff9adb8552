"""What stands between the lookup and the model: fields made of numbers, and layers over fields."""

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.export.program import export_program, to_calls
from easyrec.models import build

NUMERIC = ["user", "place", "item", "age", "price"]
FEATURE_WISE = [{"type": "senet"}, "gate", {"type": "dropout", "rate": 0.5}]


def made(case, task, type, groups, **keys):
    torch.manual_seed(0)
    found = case(type, groups=groups, **keys)
    return found, build(found.config, found.plan, [task])


def test_fields_made_of_numbers_stand_after_the_others(case, task):
    found, model = made(case, task, "deepfm", {"deep": NUMERIC})
    x = found.inputs(5)
    assert [span.name for span in model.layouts["deep"].fields] == ["user", "item", "place", "age"]
    prepared = model.prepared(x)
    values = x.tensors["num:deep"]
    parts = [
        x.tensors["emb:deep"].view(5, 2, 4),
        *(m(v) for m, v in zip(model.numeric["deep"], (values[:, :2], values[:, 2:]), strict=True)),
    ]
    torch.testing.assert_close(model.fields(prepared), torch.cat(parts, dim=1))
    assert (model.num_fields(), model.dim(), model.width()) == (4, 4, 17)
    assert model.prepared(prepared) is prepared


def test_a_model_reads_them_as_it_reads_all_fields(case, task):
    """The same model over a plan without modules, given the numbers' embeddings as if they were looked up."""
    found, model = made(case, task, "deepfm", {"deep": NUMERIC})
    plain, other = made(case, task, "deepfm", {"deep": ["user", "item", "cate", "scene", "price"]})
    other.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("numeric")})
    x, y = found.inputs(5), plain.inputs(5)
    prepared = model.prepared(x)
    y.tensors.update({key: prepared.tensors[key] for key in y.tensors})
    torch.testing.assert_close(model.eval()(x)["logit"], other.eval()(y)["logit"])


def test_one_made_of_numbers_may_be_the_candidate_of_a_sequence(case, task):
    groups = {"deep": {"features": ["user", "age"], "sequences": [{"sequence": "buys", "query": {"item": "age"}}]}}
    found, model = made(case, task, "din", groups, embedding_init={"type": "normal", "std": 1.0})
    x = found.inputs(5)
    changed = type(x)(dict(x.tensors), x.layouts)
    changed.tensors["num:deep"] = -x.tensors["num:deep"]
    model.eval()
    (sequence,) = model.layouts["deep"].sequences
    with_steps = x.tensors["offsets:deep/buys"].diff() > 0
    differ = (model.interest(model.prepared(x), sequence) != model.interest(model.prepared(changed), sequence)).any(1)
    assert torch.equal(differ, with_steps)


def test_layers_over_fields_come_one_after_another_and_leave_the_rest(case, task):
    groups = {"deep": {"features": NUMERIC, "feature_wise": FEATURE_WISE}}
    found, model = made(case, task, "deepfm", groups)
    x = found.inputs(5)
    bare = found.config.model_copy(
        update={"groups": {"deep": found.config.groups["deep"].model_copy(update={"feature_wise": []})}}
    )
    fields = build(bare, found.plan, [task])
    fields.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("feature_wise")})
    expected = fields.prepared(x).tensors["emb:deep"]
    for layer in model.eval().feature_wise["deep"]:
        expected = layer(expected)
    prepared = model.prepared(x).tensors
    torch.testing.assert_close(prepared["emb:deep"], expected)
    assert prepared["first:deep"] is x.tensors["first:deep"]
    assert prepared["dense:deep"] is x.tensors["dense:deep"]
    assert not torch.equal(model(x)["logit"], fields.eval()(x)["logit"])


CASES = {
    "numbers": ("deepfm", {"deep": NUMERIC}),
    "numbers-alone": ("dcn_v2", {"deep": ["age"]}),
    "layers": ("fm", {"deep": {"features": ["user", "item"], "feature_wise": FEATURE_WISE}}),
    "both": ("deepfm", {"deep": {"features": NUMERIC, "feature_wise": FEATURE_WISE}}),
    "beside-steps": (
        "din",
        {"deep": {"features": ["item", "cate", "age"], "sequences": [{"sequence": "clicks"}], "feature_wise": ["gate"]}},
    ),
    "of-two-groups": ("wide_and_deep", {"deep": {"features": ["user", "age"], "feature_wise": ["senet"]}, "wide": ["age"]}),
    "taken-from-deep": ("wide_and_deep", {"deep": {"features": ["user", "age"], "feature_wise": ["senet"]}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_contract_of_models_holds(case, task, name):
    found, model = made(case, task, *CASES[name])
    for rows in (0, 1, 5):
        assert model.eval()(found.inputs(rows))["logit"].shape == (rows,)
    x = found.inputs(5)
    whole = model(x)["logit"]
    program = to_calls(export_program(model, found.layouts))
    for rows in (0, 1, 5, 64):
        y = found.inputs(rows)
        exported = program({key: tensor.detach() for key, tensor in y.tensors.items()})
        torch.testing.assert_close(exported["logit"], model(y)["logit"].detach(), rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x)["logit"], whole, rtol=0.05, atol=0.1)
    whole.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert [k for k, t in x.tensors.items() if t.requires_grad and (t.grad is None or not t.grad.abs().sum() > 0)] == []


def test_a_composed_model_reads_them_too(case, task):
    blocks = [{"name": "fields", "type": "fields"}, {"name": "fm", "type": "fm", "input": "fields"}]
    groups = {"deep": {"features": [*NUMERIC, "scene"], "feature_wise": FEATURE_WISE}}
    found, model = made(case, task, "backbone", groups, blocks=blocks, heads=[{"terms": ["fm"]}])
    assert list(found.config.misfits(found.layouts, [task])) == []
    x = found.inputs(5)
    fields = model.eval().fields(model.prepared(x))
    expected = (fields.sum(1).square() - fields.square().sum(1)).sum(1) / 2
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-6)


def test_layers_over_fields_need_fields(case, task):
    groups = {"deep": ["user"], "wide": {"features": ["user"], "feature_wise": ["senet"]}}
    found = case("wide_and_deep", groups=groups)
    with pytest.raises(ConfigError) as caught:
        build(found.config, found.plan, [task])
    ((problem),) = caught.value.problems
    assert problem.where == "model.groups.wide.feature_wise"
    assert "'wide_and_deep' reads no fields in 'wide'" in problem.message
