import pytest
import torch

from easyrec.export.program import export_program, to_calls
from easyrec.models import build

PLUS = {"hidden": [5]}


def mlp(layers, x):
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            x = (x @ layer.weight.T + layer.bias).clamp_min(0)
    return x


@pytest.mark.parametrize("ensemble", [None, PLUS], ids=["afn", "afn-plus"])
def test_logit_is_an_mlp_of_the_neurons_and_of_embeddings_of_its_own(case, task, ensemble):
    torch.manual_seed(0)
    groups = {"deep": ["user", "item", "price"]}
    made = case("afn", groups=groups, neurons=4, hidden=[7, 3], ensemble=ensemble)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    neurons = model.logarithmic(x.tensors["emb:deep"].view(5, 2, 4))
    parts = [mlp(model.deep, torch.cat([neurons, x.tensors["dense:deep"]], 1))]
    if ensemble:
        parts.append(mlp(model.beside, torch.cat([x.tensors["emb:ensemble"], x.tensors["dense:ensemble"]], 1)))
    expected = torch.cat(parts, 1) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_the_ensemble_reads_the_same_features_from_other_tables(case):
    made = case("afn", groups={"deep": ["user", "item"]}, ensemble=PLUS)
    assert [span.name for span in made.layouts["ensemble"].fields] == ["user", "item"]
    assert sorted(table.rows for table in made.plan.tables) == [20, 20, 30, 30]


def test_afn_plus_is_exported_as_it_is(case, task):
    made = case("afn", groups={"deep": ["user", "item", "price"]}, ensemble=PLUS)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    program = to_calls(export_program(model, made.layouts))
    exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
    torch.testing.assert_close(exported["logit"], model(x)["logit"].detach(), rtol=1e-5, atol=1e-5)
