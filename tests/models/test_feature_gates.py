"""Gates on all inputs of a model, of any model: `feature_gates`."""

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.export.program import export_program, to_calls
from easyrec.models import build
from feature_generator.config import member, members

MODELS = members("easyrec.models")
LABELS = {"click": torch.tensor([1.0, 0, 1, 1, 0]), "buy": torch.tensor([1.0, 0, 0, 1, 0])}
FACTORS = {"type": "group_lasso", "per": "feature", "rate": 1.0, "penalty": 0.01}


def gated(case, name, **keys):
    """A model with gates, and the same without."""
    tasks = [TaskConfig(**t) for t in member("easyrec.models", name).Config.example_tasks]
    tasks = tasks or [TaskConfig(name="click", label="click")]
    found = []
    for gates in (FACTORS, None):
        made = case(name, feature_gates=gates, **keys)
        torch.manual_seed(1)
        found.append(build(made.config, made.plan, tasks))
    found[1].load_state_dict({k: v for k, v in found[0].state_dict().items() if not k.startswith("feature_gates")})
    return made, *found


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_open_gates_change_nothing_and_all_of_them_learn(case, name):
    made, model, plain = gated(case, name)
    x = made.inputs(5)
    for task, logit in plain.eval()(x).items():
        torch.testing.assert_close(model.eval()(x)[task], logit)
    torch.manual_seed(0)
    outputs = model.train()(x)
    named = {label: LABELS.get(label, LABELS["click"]) for task in model.tasks for label in task.labels}
    extras = model.auxiliary(outputs, named, None)
    assert extras["feature_gates"].item() == pytest.approx(0.01 * len(model.feature_gates.widths), rel=1e-4)
    sum(outputs[t.name if len(model.tasks) > 1 else "logit"].square().sum() for t in model.tasks).backward()
    assert model.feature_gates.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["deepfm", "din", "dssm", "backbone"])
def test_a_closed_gate_hides_a_feature(case, name):
    made, model, _ = gated(case, name)
    model.eval()
    feature = "item"
    with torch.no_grad():
        gates = model.feature_gates
        gates.weight[list(gates.widths).index(feature)] = -1.0
    x = made.inputs(5)
    changed = dict(x.tensors)
    for group, layout in made.layouts.items():
        spans = [span for span in layout.fields if span.name == feature]
        for span in spans:
            changed[f"emb:{group}"] = changed[f"emb:{group}"].detach().clone()
            changed[f"emb:{group}"][:, span.columns] += 3.0
            if layout.first_order:
                changed[f"first:{group}"] = changed[f"first:{group}"].detach().clone()
                changed[f"first:{group}"][:, layout.fields.index(span)] += 3.0
    assert any(not torch.equal(changed[key], x.tensors[key]) for key in changed)
    torch.testing.assert_close(model(type(x)(changed, x.layouts))["logit"], model(x)["logit"])


def test_numbers_embedded_by_a_module_have_gates_and_the_model_is_exported(case):
    groups = {"deep": ["user", "item", "age", "price"]}
    made, model, _ = gated(case, "deepfm", groups=groups)
    assert sorted(model.feature_gates.widths) == ["age", "item", "price", "user"]
    with torch.no_grad():
        model.feature_gates.weight.copy_(torch.tensor([0.5, -0.5, 0.2, -1.0]))
    captured, x = export_program(model.eval(), made.layouts), made.inputs(3)
    to_calls(captured)
    exported = captured.program.module()(*(x.tensors[key].detach() for key in captured.inputs))
    torch.testing.assert_close(exported[0], model(x)["logit"])
