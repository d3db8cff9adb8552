"""What every model promises, members of tomorrow included."""

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.embedding.sides import user_columns, user_sequences
from easyrec.export.manifest import SplitEntry
from easyrec.export.program import example, export_program, to_calls
from easyrec.export.requests import request_example
from easyrec.export.split import split_program
from easyrec.models import build
from feature_generator.config import member, members
from feature_generator.errors import FeatureGeneratorError

MODELS = members("easyrec.models")
ONE = [TaskConfig(name="click", label="click")]
THREE = [
    TaskConfig(name="click", label="click"),
    TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3),
    TaskConfig(name="price", label="price", type="regression"),
]


LABELS = {
    "click": torch.tensor([1.0, 0, 1, 1, 0]),
    "buy": torch.tensor([1.0, 0, 0, 1, 0]),
    "stars": torch.tensor([0.0, 1, 2, 1, 0]),
    "price": torch.ones(5),
}


def fitting(name, tasks):
    """The tasks, or where the model is for certain ones, those."""
    return [TaskConfig(**task) for task in member("easyrec.models", name).Config.example_tasks] or tasks


def seeded(case, tasks=ONE, seed=1):
    torch.manual_seed(seed)
    return build(case.config, case.plan, fitting(case.config.type, tasks))


def score(model, x):
    """The first task's logit."""
    return next(iter(model(x).values()))


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_any_number_of_rows(case, name, rows):
    made = case(name)
    logits = seeded(made).eval()(made.inputs(rows))
    tasks = fitting(name, ONE)
    assert list(logits) == (["logit"] if len(tasks) == 1 else [task.name for task in tasks])
    for logit in logits.values():
        assert logit.shape == (rows,)
        assert logit.dtype == torch.float32
        assert logit.isfinite().all()


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_a_row_scores_the_same_alone_and_in_company(case, name):
    made = case(name)
    model = seeded(made).eval()
    x = made.inputs(5)
    whole = score(model, x)
    for row in range(5):
        part = {}
        for key, tensor in x.tensors.items():
            kind, _, rest = key.partition(":")
            if kind in ("emb", "first", "dense", "num"):
                part[key] = tensor[row : row + 1]
            else:
                start, end = x.tensors[f"offsets:{rest}"][row : row + 2]
                cut = {"seq": tensor[start:end], "rows": torch.zeros(int(end - start), dtype=torch.int64)}
                part[key] = cut.get(kind, torch.stack([torch.zeros_like(start), end - start]))
        alone = score(model, type(x)(part, x.layouts))
        torch.testing.assert_close(alone, whole[row : row + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tasks", [ONE, THREE], ids=["one-task", "three-tasks"])
def test_every_parameter_and_every_input_gets_a_gradient(case, name, tasks):
    made = case(name)
    model, x = seeded(made, tasks).train(), made.inputs(5)
    outputs, loss = model(x), torch.zeros(())
    for task in fitting(name, tasks):
        logit, target = outputs["logit" if len(fitting(name, tasks)) == 1 else task.name], LABELS[task.label]
        chosen = logit if task.type != "multiclass" else torch.log_softmax(logit, 1)[range(5), target.long()]
        loss = loss + ((chosen - target) ** 2).sum()
    for extra in model.auxiliary(outputs, LABELS, None).values():
        loss = loss + extra
    loss.backward()
    wanting = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert wanting == []
    ignored = [k for k, t in x.tensors.items() if t.requires_grad and (t.grad is None or not t.grad.abs().sum() > 0)]
    assert ignored == []


TRAINED = {"cl4srec", "dat", "escm2"}
"""Models whose own losses are of outputs that training alone gives."""


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_another_device_gives_the_same_logits_and_gradients(case, name, other_device):
    made = case(name)
    told = []
    for device in (torch.device("cpu"), other_device):
        model, x = seeded(made), made.inputs(5)
        with torch.no_grad():
            model.to(device).eval()(x.on(device))
        logits = model.eval()(x.on(device))
        labels, weights = {key: values.to(device) for key, values in LABELS.items()}, torch.ones(5, device=device)
        extras = {} if name in TRAINED else model.auxiliary(logits, labels, weights)
        sum([*(logit.square().sum() for logit in logits.values()), *extras.values()]).backward()
        gradients = {key: tensor.grad for key, tensor in x.tensors.items() if tensor.requires_grad}
        gradients |= {key: p.grad.cpu() for key, p in model.named_parameters() if p.grad is not None}
        told.append(({key: logit.detach().cpu() for key, logit in logits.items()}, gradients))
        drawn = model.train()(x.on(device))  # dropout draws otherwise there
        assert all(
            logit.isfinite().all() for logit in [*drawn.values(), *model.auxiliary(drawn, labels, None).values()]
        )
    torch.testing.assert_close(told[1], told[0], rtol=1e-3, atol=1e-4)  # sums in another order


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_several_tasks_are_told_by_name(case, name):
    made = case(name)
    if made.config.example_tasks:
        pytest.skip("is for certain tasks")
    logits = seeded(made, THREE).eval()(made.inputs(5))
    assert {task: tuple(logit.shape) for task, logit in logits.items()} == {
        "click": (5,),
        "stars": (5, 3),
        "price": (5,),
    }


CAPTURED = {}


def captured(case, name):
    """A model, and what is stored of it: captured once for all tests."""
    if name not in CAPTURED:
        made = case(name)
        model = seeded(made, THREE).eval()
        CAPTURED[name] = made, model, to_calls(export_program(model, made.layouts))
    return CAPTURED[name]


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_exported_equals_eager(case, name):
    made, model, program = captured(case, name)
    for rows in (0, 1, 5, 64):
        x = made.inputs(rows)
        exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
        eager = {name: logit.detach() for name, logit in model(x).items()}
        assert eager.keys() == exported.keys()
        for name, logit in eager.items():
            torch.testing.assert_close(exported[name], logit, rtol=1e-5, atol=1e-5)
    split = split_program(
        program, example_of(made, program), user_columns(made.plan, OF_USER), user_sequences(made.plan, OF_USER)
    )
    for rows, steps in ((1, 3), (5, 4), (3, 0), (4, 1)) if split is not None else ():
        once, repeated = made.request(rows, steps, OF_USER)
        found, wanted = split.program({key: once[key] for key in split.program.inputs}), program(repeated)
        for name, logit in wanted.items():
            torch.testing.assert_close(found[name], logit, rtol=1e-5, atol=2e-5)


OF_USER = {"user", "scene", "age", "price", "clicks__item", "clicks__cate", "clicks__hour", "buys__item"}


def example_of(case, program):
    return {key: tensor for key, tensor in example(case.layouts, 101, 1009).items() if key in program.inputs}


@pytest.mark.parametrize(
    ("name", "keys", "together"),
    [
        ("deepfm", {}, ()),
        ("dcn_v2", {}, ()),
        ("fm", {}, ()),
        ("mmoe", {}, ()),
        ("finalmlp", {}, ()),
        ("din", {}, ()),
        ("din", {"softmax": True, "product": True}, ()),
        ("dien", {}, ("deep/clicks",)),
    ],
)
def test_what_a_request_has_once_is_computed_once(case, name, keys, together):
    made = case(name, **(attended(**keys) if keys else {}))
    program = to_calls(export_program(seeded(made).eval(), made.layouts))
    split = split_program(
        program, example_of(made, program), user_columns(made.plan, OF_USER), user_sequences(made.plan, OF_USER)
    )
    assert split.together == together
    assert any(key.startswith("user/") for key in split.program.inputs)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_as_an_onnx_model_it_scores_the_same(case, name, tmp_path):
    onnx_model = pytest.importorskip("easyrec.export.onnx.model", reason="needs the extra onnx")
    onnx_session = pytest.importorskip("easyrec.export.onnx.session")
    made, model, program = captured(case, name)

    def session_of(stored, tensors):
        file = tmp_path / "model.onnx"
        file.write_bytes(onnx_model.convert(stored, tensors).SerializeToString())
        return onnx_session.Session(file)

    def same(found, wanted):
        assert found.keys() == wanted.keys()
        for task, logit in wanted.items():
            assert found[task].shape == logit.shape
            largest = max([1.0, *logit.abs().flatten().tolist()])  # fp32 rounds large sums by parts of them
            torch.testing.assert_close(torch.from_numpy(found[task]), logit, rtol=0, atol=1e-5 * largest)

    session = session_of(program, example(made.layouts))
    for rows in (0, 1, 5, 64):
        x = made.inputs(rows)
        found = session({key: tensor.detach().numpy() for key, tensor in x.tensors.items()})
        same(found, {task: logit.detach() for task, logit in model(x).items()})
    columns, sequences = user_columns(made.plan, OF_USER), user_sequences(made.plan, OF_USER)
    split = split_program(program, example_of(made, program), columns, sequences)
    if split is None:
        return
    apart = [sequence for sequence in sequences if sequence not in split.together]
    entry = SplitEntry(folder="request", user=sorted(OF_USER), apart=apart)
    session = session_of(split.program, request_example(made.plan, entry))
    for rows, steps in ((1, 3), (5, 4), (3, 0), (4, 1)):
        once, _ = made.request(rows, steps, OF_USER)
        once = {key: tensor.detach() for key, tensor in once.items()}
        found = session({key: tensor.numpy() for key, tensor in once.items()})
        same(found, split.program({key: once[key] for key in split.program.inputs}))


QUICK = ["text_cnn"]


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in members("easyrec.modules.sequence")
    ],
)
def test_a_request_scores_as_its_rows_with_every_encoder(case, encoder):
    try:
        made = case("deepfm", sequences=[{"sequence": "clicks", "encoder": {"type": encoder}}])
        program = to_calls(export_program(seeded(made).eval(), made.layouts))
    except (FeatureGeneratorError, ValueError) as error:
        pytest.skip(f"no encoder for such a group: {error}")
    columns, sequences = user_columns(made.plan, OF_USER), user_sequences(made.plan, OF_USER)
    split = split_program(program, example_of(made, program), columns, sequences)
    assert split is not None
    for rows, steps in ((1, 3), (5, 4), (3, 0), (4, 1)):
        once, repeated = made.request(rows, steps, OF_USER)
        found, wanted = split.program({key: once[key] for key in split.program.inputs}), program(repeated)
        torch.testing.assert_close(found["logit"], wanted["logit"], rtol=1e-5, atol=2e-5)


def attended(**keys):
    return {"sequences": [{"sequence": "clicks", "encoder": {"type": "din", **keys}}]}


VARIANTS = {
    "softmax-positions": ("din", attended(softmax=True, positions=3, hidden=[6, 5], activation="prelu", product=True)),
    "pooling-product": (
        "din",
        {"sequences": [{"sequence": "clicks", "encoder": {"type": "pooling", "product": True}}]},
    ),
    "attention-in-deepfm": ("deepfm", attended()),
    "chosen-steps": ("twin", {"sequences": [{"sequence": "clicks", "encoder": {"type": "twin", "top": 2}}]}),
    "mixture": ("dcn_v2", {"low_rank": 2, "experts": 3, "structure": "stacked"}),
    "vectors-per-id": ("fwfm", {"linear": "feature"}),
    "outer-products": ("pnn", {"products": "both"}),
    "stacked-vectors": ("dcn", {"structure": "stacked"}),
    "order-five": (
        "hofm",
        {
            "order": 5,
            "embedding_init": {"type": "normal", "std": 0.05},
            "groups": {"deep": {"features": ["item", "user", "cate"], **attended()}},
        },
    ),
    "norms": ("wide_and_deep", {"batch_norm": True, "layer_norm": True, "dropout": 0.5, "activation": "gelu"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_exported_variants_equal_eager(case, variant):
    name, keys = VARIANTS[variant]
    made = case(name, **keys)
    model = seeded(made).eval()
    program = to_calls(export_program(model, made.layouts))
    for rows in (0, 1, 5):
        x = made.inputs(rows)
        exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
        torch.testing.assert_close(exported["logit"], model(x)["logit"].detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_numbers(case, name):
    made = case(name)
    first, second, other = (score(seeded(made, seed=s).eval(), made.inputs(5)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    other_matters = any(p.dim() > 1 for p in seeded(made).parameters())
    assert torch.equal(first, other) is not other_matters


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MODELS)
def test_bf16_autocast_stays_near_fp32_and_gives_fp32_logits(case, name):
    made = case(name)
    model, x = seeded(made).eval(), made.inputs(5)
    exact = score(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = score(model, x)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.1)
