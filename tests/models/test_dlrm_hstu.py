import math

import pytest
import torch
from torch.nn.functional import silu

from easyrec.batch import Embedded
from easyrec.config import TaskConfig
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.dlrm_hstu import Config
from feature_generator import FeatureGenerator

TASKS = [TaskConfig(name="click", label="click"), TaskConfig(name="like", label="like")]
FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 20},
    {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 9, "embedding_dim": 3},
    {"type": "raw", "name": "age", "expression": "user:age"},
    {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 30},
    {"type": "id", "name": "brand", "expression": "item:brand", "num_buckets": 10, "embedding_dim": 5},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "raw", "name": "shown", "expression": "context:shown"},
    {
        "type": "sequence",
        "name": "watched",
        "sequence_length": 10,
        "features": [
            {"type": "id", "name": "action", "expression": "user:action", "num_buckets": 4, "embedding_dim": 2},
            {"type": "raw", "name": "when", "expression": "user:when"},
            {"type": "id", "name": "item", "expression": "item:item", "embedding_name": "item", "num_buckets": 30},
        ],
    },
]
ENCODER = {"type": "target_hstu", "layers": 2, "heads": 2, "positions": 4, "distances": 5}
TIMED = {**ENCODER, "time": "when", "buckets": 12}
FULL = {"context": ["user", "city", "age"]}


@pytest.fixture(scope="module")
def generator():
    return FeatureGenerator.load({"features": FEATURES})


def made(generator, features, encoder, tasks=TASKS, seed=0, **keys):
    groups = {"deep": {"features": features, "sequences": [{"sequence": "watched", "encoder": encoder}]}}
    groups |= keys.pop("groups", {})
    config = Config.model_validate({"type": "dlrm_hstu", "embedding_dim": 4, "groups": groups, "tower": [3], **keys})
    torch.manual_seed(seed)
    plan = plan_embeddings(generator.outputs, config)
    model = build(config, plan, tasks).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model, plan.layouts


class Row:
    """A row's embeddings by feature, and its steps."""

    def __init__(self, layouts, tensors, row):
        start, end = tensors["offsets:deep/watched"][row : row + 2]
        self.steps = tensors["seq:deep/watched"][start:end]
        self.of = {}
        for name, layout in layouts.items():
            for key, spans in (("emb", layout.fields), ("dense", layout.dense)):
                for span in spans:
                    self.of[span.name] = tensors[f"{key}:{name}"][row, span.columns]


def inputs(layouts, lengths):
    torch.manual_seed(3)
    rows, tensors = len(lengths), {}
    for name, layout in layouts.items():
        tensors[f"emb:{name}"] = torch.randn(rows, layout.width)
        tensors[f"dense:{name}"] = torch.rand(rows, layout.dense_width)
    (sequence,) = layouts["deep"].sequences
    counts = torch.tensor(lengths)
    steps = torch.randn(sum(lengths), sequence.dim)
    when = sequence.children[1].start
    steps[:, when] = torch.rand(sum(lengths)).cumsum(0) * 500
    for span in layouts["deep"].dense:
        if span.name == "shown":
            tensors["dense:deep"][:, span.start] = 4000.0
    tensors["seq:deep/watched"] = steps
    tensors["rows:deep/watched"] = torch.repeat_interleave(torch.arange(rows), counts)
    tensors["offsets:deep/watched"] = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return Embedded(tensors, layouts)


def layer(weights, x, times, heads=2):
    """All outputs of a layer, a pair of steps at a time."""
    inner = weights["out.weight"].shape[1]
    normed = torch.nn.functional.layer_norm(x, x.shape[1:], weights["norms.0.weight"], weights["norms.0.bias"])
    u, q, k, v = silu(normed @ weights["projected.weight"].T).chunk(4, dim=1)
    out = []
    for here in range(len(x)):
        mixed = torch.zeros(inner)
        for there in range(here + 1):
            bias = weights["bias.distances"][min(here - there, 4)]
            if times is not None:
                bucket = math.floor(math.log(abs(float(times[here] - times[there])) + 1) / 0.3)
                bias = bias + weights["bias.buckets"][min(bucket, 11)]
            for head in range(heads):
                columns = slice(head * inner // heads, (head + 1) * inner // heads)
                score = silu(q[here, columns] @ k[there, columns] + bias)
                mixed[columns] = mixed[columns] + score * v[there, columns] / (here + 1)
        mixed = torch.nn.functional.layer_norm(
            mixed, (inner,), weights["norms.1.weight"], weights["norms.1.bias"], eps=1e-6
        )
        out.append(x[here] + weights["out.weight"] @ (mixed * u[here]) + weights["out.bias"])
    return torch.stack(out)


def expected(model, row, *, context=(), extra=(), timed=False, now=None):
    """The logits of a row."""
    (encoder,) = model.encoders.values()
    unseen = list(encoder.hidden) if encoder.hidden is not None else []
    candidate = torch.stack([*unseen, *row.of["item"]])
    if extra:
        candidate = candidate + model.beside.weight @ torch.cat([row.of[name] for name in extra])
    front = [f.weight @ row.of[name] + f.bias for f, name in zip(model.context, context, strict=True)]
    steps = [torch.cat([step[:2], step[3:]]) for step in row.steps] if timed else list(row.steps)
    times = None
    if timed:
        history = row.steps[:, 2].tolist()
        now = now if now is not None else (history or [0.0])[-1]
        times = torch.tensor([*([(history or [now])[0]] * len(front)), *history, now])
    x = torch.stack([*front, *steps, candidate])
    ages = range(len(x) - 1, -1, -1)
    x = x * x.shape[1] ** 0.5 + torch.stack([encoder.trunk.positions[min(age, 3)] for age in ages])
    for block in (*encoder.trunk.layers, encoder.last.layer):
        x = layer(dict(block.named_parameters()), x, times)
    y = encoder.norm(x[-1])
    found = []
    for (inner, _), out in zip(model.towers.mlps, model.logits.vectors, strict=True):
        found.append(out(torch.relu(inner(y))))
    return torch.cat(found)


CASES = {
    "plain": (["item"], ENCODER, {}, {}),
    "extra": (["brand", "item", "price"], ENCODER, {}, {"extra": ("brand", "price")}),
    "context": (["item"], ENCODER, {"groups": FULL}, {"context": ("user", "city", "age")}),
    "times": (["item", "brand"], TIMED, {"groups": FULL}, {"context": ("user", "city", "age"), "extra": ("brand",)}),
    "time-of-the-row": (
        ["item", "shown", "price"],
        TIMED,
        {"groups": FULL, "time": "shown"},
        {"context": ("user", "city", "age"), "extra": ("price",), "now": 4000.0},
    ),
    "time-of-the-config": (["item"], {**TIMED, "now": 0.0}, {}, {"now": 0.0}),
    "one-layer": (["item"], {**TIMED, "layers": 1}, {"groups": FULL}, {"context": ("user", "city", "age")}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_logits_are_those_of_a_loop_over_pairs(generator, name):
    features, encoder, keys, told = CASES[name]
    model, layouts = made(generator, features, encoder, **keys)
    x = inputs(layouts, [3, 0, 7, 1])
    found = model(x)
    for row in range(4):
        logits = expected(model, Row(layouts, x.tensors, row), timed="time" in encoder, **told)
        torch.testing.assert_close(torch.stack([found["click"][row], found["like"][row]]), logits, rtol=1e-4, atol=1e-4)


def test_the_candidate_alone_is_scored_where_nothing_is_known_of_the_user(generator):
    model, layouts = made(generator, ["item"], ENCODER)
    x = inputs(layouts, [0, 0])
    first, second = model(x)["click"].tolist()
    assert first != second
    assert not next(iter(model.encoders.values()))(x.sequence("watched"), x.tensors["emb:deep"]).any()


def test_other_sequences_join_the_candidate_or_stand_before_the_steps(generator):
    pooled = {"sequence": "watched", "name": "mean", "encoder": {"type": "self_attention", "heads": 1}}
    deep = {"features": ["item"], "sequences": [{"sequence": "watched", "encoder": ENCODER}, pooled]}
    context = {"features": ["city"], "sequences": [pooled]}
    model, layouts = made(generator, [], ENCODER, groups={"deep": deep, "context": context})
    assert model.beside.in_features == 7
    assert [layer.in_features for layer in model.context] == [3, 7]
    assert layouts["deep"].sequences[1].name == "mean"


DEEP = ["item", "shown"]
WRONG = {
    "another-encoder": (
        DEEP,
        {"type": "hstu"},
        {},
        "reads 'watched' by the encoder 'target_hstu', not 'hstu'",
        "model.groups.deep.sequences.0.encoder",
    ),
    "unknown-time": (
        DEEP,
        TIMED,
        {"time": "shwon"},
        "'shwon' is no numeric input of 'deep'; did you mean 'shown'?; such are: shown\nlist a raw feature",
        "model.time",
    ),
    "embedded-time": (["item"], TIMED, {"time": "item"}, "no numeric input of 'deep'; such are: none", "model.time"),
    "two-times": (
        DEEP,
        {**TIMED, "now": 0.0},
        {"time": "shown"},
        "does nothing where model.time, 'shown', tells the time of each candidate\nleave one of them out",
        "model.groups.deep.sequences.0.encoder.now",
    ),
    "timeless-steps": (
        DEEP,
        ENCODER,
        {"time": "shown"},
        "nothing tells when the steps of 'watched' were\nset encoder: {type: target_hstu, time:",
        "model.time",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_told_with_its_place(generator, name):
    features, encoder, keys, text, where = WRONG[name]
    with pytest.raises(ConfigError) as error:
        made(generator, features, encoder, **keys)
    (problem,) = error.value.problems
    assert text in problem.message
    assert problem.where == where


def test_the_sequence_is_needed():
    with pytest.raises(ValueError, match="'dlrm_hstu' needs a sequence in the group 'deep'"):
        Config.model_validate({"type": "dlrm_hstu", "groups": {"deep": ["item"]}})
