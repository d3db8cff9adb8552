"""The models of `configs/backbone` are those of the same name: equal weights, equal logits."""

from pathlib import Path

import pytest
import torch

from easyrec.batch import Embedded
from easyrec.config import load_experiment
from easyrec.embedding.plan import plan_embeddings
from easyrec.models import build
from feature_generator.config import member, members

CONFIGS = Path(__file__).parents[2] / "configs" / "backbone"
DEEP, HEAD = "graph.blocks.deep.layer.", "heads.0.layers.0."
PLACES = {
    "deepfm": {"deep.": DEEP, "head.": HEAD},
    "dcn_v2": {
        **{f"cross.layers.{i}.": f"graph.blocks.cross.copies.{i}.layer." for i in range(3)},
        "deep.": DEEP,
        "head.": HEAD,
    },
    "din": {"deep.": DEEP, "head.": HEAD, "encoders.deep__": "encoders.clicks__"},
    "dlrm": {"bottom.mlp.": "graph.blocks.numbers.layer.", "deep.": "graph.blocks.top.layer.", "head.": HEAD},
    "mmoe": {
        "experts.": "graph.blocks.mixtures.experts.",
        "gate.": "graph.blocks.mixtures.gate.",
        **{f"towers.mlps.{i}.": f"graph.blocks.towers.copies.{i}.layer." for i in range(2)},
        **{f"logits.vectors.{i}.weight": f"heads.0.layers.{i}.vector.weight" for i in range(2)},
        **{f"logits.vectors.{i}.bias": f"heads.0.layers.{i}.bias" for i in range(2)},
    },
}
"""For each config where in the graph the weights of the class lie."""
KEYS = {
    "deepfm": {"hidden": [128, 64], "dropout": 0.1},
    "dcn_v2": {"hidden": [128, 64], "cross_layers": 3},
    "din": {"hidden": [128, 64]},
    "dlrm": {"hidden": [128, 64], "bottom": [64]},
    "mmoe": {"experts": 4, "expert": [128], "tower": [64]},
    "ppnet": {"gate_hidden": 64, "tower": [128, 64]},
}
"""Keys of the model of the same name."""


def drawn(name, tensor):
    """Random numbers for a weight, so that none is at its start."""
    if not tensor.is_floating_point():
        return tensor
    if name.endswith("running_var"):
        return torch.rand_like(tensor)
    return torch.randn_like(tensor) * (2.0 / tensor.shape[-1]) ** 0.5 if tensor.dim() > 1 else torch.randn_like(tensor)


def moved(name, weights):
    """The weights of the class where they lie in the graph."""
    if name == "ppnet":
        return of_towers(weights)
    found = {}
    for key, tensor in weights.items():
        prefix = next(p for p in PLACES[name] if key.startswith(p))
        found[PLACES[name][prefix] + key.removeprefix(prefix)] = tensor
    return found


def of_towers(weights):
    """Those of `ppnet`: the class keeps the towers of all tasks in one tensor, and their gates share a hidden layer."""
    found = {}
    for task, tower in enumerate(("click", "buy")):
        home = f"graph.blocks.{tower}_tower.package.graph.blocks."
        for index, (gate, mlp) in enumerate((("first__input", "first"), ("second__input", "second"), ("scaled", None))):
            units = weights[f"towers.gates.{index}.outer.weight"].shape[0] // 2
            own = slice(task * units, (task + 1) * units)
            for kind in ("weight", "bias"):
                found[f"{home}{gate}.layer.hidden.0.{kind}"] = weights[f"towers.gates.{index}.inner.{kind}"]
                found[f"{home}{gate}.layer.gate.{kind}"] = weights[f"towers.gates.{index}.outer.{kind}"][own]
                if mlp is not None:
                    found[f"{home}{mlp}.layer.0.{kind}"] = weights[f"towers.towers.linears.{index}.{kind}"][task]
        found[f"heads.{task}.layers.0.vector.weight"] = weights[f"logits.vectors.{task}.weight"]
        found[f"heads.{task}.layers.0.bias"] = weights[f"logits.vectors.{task}.bias"]
    return found


def one_group(groups):
    """The groups of a composed model as one: features and sequences, each once."""
    features = dict.fromkeys(name for group in groups.values() for name in group.features)
    return {"features": list(features), "sequences": [s for group in groups.values() for s in group.sequences]}


def divided(x, layouts):
    """The inputs of one group `deep`, divided into those of the composed model's groups."""
    found, whole = {}, x.layouts["deep"]
    for name, layout in layouts.items():
        columns = [x.tensors["emb:deep"][:, whole.field(span.name).columns] for span in layout.fields]
        found |= {f"emb:{name}": torch.cat(columns, 1)} if columns else {}
        for sequence in layout.sequences:
            for kind in ("seq", "rows", "offsets"):
                found[f"{kind}:{name}/{sequence.name}"] = x.tensors[f"{kind}:deep/{sequence.name}"]
    return Embedded(found, layouts)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_a_composed_model_gives_what_its_class_gives(name, training, case):
    if name not in members("easyrec.models"):
        pytest.skip("there is no such class")
    experiment = load_experiment(CONFIGS / f"{name}.yaml")
    composed_plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    composed = build(experiment.model, composed_plan, experiment.tasks)
    given = experiment.model.groups
    groups = {"deep": one_group(given)} if name == "din" else given
    keys = {"type": name, "embedding_dim": 16, "groups": groups, "tasks": experiment.model.tasks, **KEYS[name]}
    config = member("easyrec.models", name).Config.model_validate(keys)
    plan = plan_embeddings(experiment.generator.outputs, config)
    model = build(config, plan, experiment.tasks)
    torch.manual_seed(5)
    weights = {key: drawn(key, tensor) for key, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    composed.load_state_dict(moved(name, weights))  # all of them, and no others
    x = type(case("lr"))(config, plan).inputs(7)
    inputs = divided(x, composed_plan.layouts) if name == "din" else Embedded(x.tensors, composed_plan.layouts)
    torch.manual_seed(3)
    expected = model.train(training)(x)
    torch.manual_seed(3)
    found = composed.train(training)(inputs)
    assert list(found) == list(expected)
    exact = name in ("deepfm", "dcn_v2", "din", "dlrm")
    for key, logit in expected.items():
        assert logit.abs().max() > 0.01
        if exact:
            assert torch.equal(found[key], logit)
        torch.testing.assert_close(found[key], logit, rtol=1e-5, atol=1e-6)


def test_every_composed_config_is_compared():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(KEYS)
