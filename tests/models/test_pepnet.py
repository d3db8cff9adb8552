import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")]
GROUPS = {"deep": ["item", "cate", "price"], "gate": ["user", "item"], "domain": ["cate"]}


def affine(linear, x):
    return x @ linear.weight.T + linear.bias


def factors(gate, x):
    return 2 * torch.sigmoid(affine(gate.outer, affine(gate.inner, x).clamp_min(0)))


def flat(x, group):
    return torch.cat([x.tensors[key] for key in (f"emb:{group}", f"dense:{group}") if key in x.tensors], 1)


@pytest.mark.parametrize("name", ["ppnet", "pepnet"])
@pytest.mark.parametrize("tower", [[6, 5], []], ids=["layers", "none"])
def test_gates_scale_embeddings_and_the_input_of_every_layer_and_of_the_logits(case, name, tower):
    groups = {group: features for group, features in GROUPS.items() if name == "pepnet" or group != "domain"}
    made = case(name, groups=groups, tower={"hidden": tower}, gate_hidden=3)
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    e = flat(x, "deep")
    if name == "pepnet":
        e = e * factors(model.domain_gate, torch.cat([flat(x, "domain"), e], 1))
    about = torch.cat([flat(x, "gate"), e], 1)
    for task, logit in enumerate(model(x).values()):
        h = e
        for number, gate in enumerate(model.towers.gates):
            units = h.shape[1]
            h = h * factors(gate, about)[:, task * units : (task + 1) * units]
            if number < len(tower):
                linears = model.towers.towers.linears[number]
                h = (h @ linears.weight[task].T + linears.bias[task]).clamp_min(0)
        assert number == len(tower)
        torch.testing.assert_close(logit, affine(model.logits.vectors[task], h)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["ppnet", "pepnet"])
def test_gates_do_not_move_what_they_read_of_deep(case, name):
    """With the way through the towers cut, nothing reaches `deep` through the gates."""
    made = case(name, groups={g: f for g, f in GROUPS.items() if name == "pepnet" or g != "domain"}, tower=[6])
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    gates = [module for n, module in model.named_modules() if n == "domain_gate" or n.startswith("towers.gates.0")]
    read = []
    for gate in gates[:1]:
        gate.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model(x)
    (gradient,) = torch.autograd.grad(read[0].sum(), x.tensors["emb:deep"], allow_unused=True)
    assert gradient is None
