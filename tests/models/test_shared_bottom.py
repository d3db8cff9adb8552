import torch

from easyrec.config import TaskConfig
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")]


def test_a_tower_per_task_reads_the_bottom(case):
    made = case("shared_bottom", bottom=[5], tower=[4], towers={"buy": [3]})
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    bottom = (flat @ model.bottom[0].weight.T + model.bottom[0].bias).clamp_min(0)
    for index, (task, logit) in enumerate(model(x).items()):
        tower, vector = model.towers.mlps[index][0], model.logits.vectors[index]
        hidden = (bottom @ tower.weight.T + tower.bias).clamp_min(0)
        assert hidden.shape[1] == {"click": 4, "buy": 3}[task]
        torch.testing.assert_close(logit, (hidden @ vector.weight.T + vector.bias)[:, 0], rtol=1e-4, atol=1e-5)


def test_without_a_bottom_the_tasks_share_embeddings_alone(case):
    made = case("shared_bottom", bottom=[], tower=[4])
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    assert model.towers.mlps[0][0].in_features == x.tensors["emb:deep"].shape[1] + 3
    model(x)["click"].sum().backward()
    assert model.towers.mlps[1][0].weight.grad is None
