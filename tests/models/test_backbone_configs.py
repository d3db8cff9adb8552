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

# For each config: keys of the model of the same name, and which of its weights lie where in the graph.
MODELS = {
    "deepfm": (
        {"hidden": [128, 64], "dropout": 0.1},
        {"deep.": "graph.blocks.deep.layer.", "head.": "heads.0.layers.0."},
    ),
    "dcn_v2": (
        {"hidden": [128, 64], "cross_layers": 3},
        {
            "cross.layers.0.": "graph.blocks.cross.copies.0.layer.",
            "cross.layers.1.": "graph.blocks.cross.copies.1.layer.",
            "cross.layers.2.": "graph.blocks.cross.copies.2.layer.",
            "deep.": "graph.blocks.deep.layer.",
            "head.": "heads.0.layers.0.",
        },
    ),
    "din": (
        {"hidden": [128, 64]},
        {
            "deep.": "graph.blocks.deep.layer.",
            "head.": "heads.0.layers.0.",
            "encoders.deep__": "encoders.clicks__",
        },
    ),
}


def drawn(name, tensor):
    """Random numbers for a weight, so that none is at its start."""
    if not tensor.is_floating_point():
        return tensor
    return torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor)


def moved(name, places):
    """Where a weight of the class lies in the graph."""
    prefix = next(p for p in places if name.startswith(p))
    return places[prefix] + name.removeprefix(prefix)


def one_group(groups):
    """The groups of a composed model as one: features and sequences, each once."""
    features = dict.fromkeys(name for group in groups.values() for name in group.features)
    return {"features": list(features), "sequences": [s for group in groups.values() for s in group.sequences]}


def as_composed(x, layouts):
    """The inputs of one group `deep`, divided into those of the composed model's groups."""
    found = {}
    whole = x.layouts["deep"]
    for name, layout in layouts.items():
        if layout.width:
            found[f"emb:{name}"] = torch.cat(
                [x.tensors["emb:deep"][:, whole.field(span.name).columns] for span in layout.fields], 1
            )
        if layout.first_order:
            found[f"first:{name}"] = x.tensors["first:deep"]
        for sequence in layout.sequences:
            for kind in ("seq", "rows", "offsets"):
                found[f"{kind}:{name}/{sequence.name}"] = x.tensors[f"{kind}:deep/{sequence.name}"]
    return Embedded(found, layouts)


@pytest.mark.parametrize("name", [n for n in MODELS if n in members("easyrec.models")])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_a_composed_model_gives_what_its_class_gives(name, training, case):
    keys, places = MODELS[name]
    experiment = load_experiment(CONFIGS / f"{name}.yaml")
    ours = plan_embeddings(experiment.generator.outputs, experiment.model)
    composed = build(experiment.model, ours, experiment.tasks)
    groups = {"deep": one_group(experiment.model.groups)}
    config = member("easyrec.models", name).Config.model_validate(
        {"type": name, "embedding_dim": 16, "groups": groups, **keys}
    )
    plan = plan_embeddings(experiment.generator.outputs, config)
    model = build(config, plan, experiment.tasks)
    weights = {name: drawn(name, tensor) for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    composed.load_state_dict({moved(name, places): tensor for name, tensor in weights.items()})  # all of them
    x = type(case("lr"))(config, plan).inputs(7)
    expected, given = [], []
    for one, embedded, found in ((model, x, expected), (composed, as_composed(x, ours.layouts), given)):
        torch.manual_seed(3)
        found.append(one.train(training)(embedded)["logit"])
    assert torch.equal(given[0], expected[0])
