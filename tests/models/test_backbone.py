import pytest
import torch
import yaml
from pydantic import ValidationError

from easyrec.config import TaskConfig, load_experiment
from easyrec.errors import ConfigError
from easyrec.export.program import export_program, to_calls
from easyrec.models import Head, build
from easyrec.models.backbone import Config
from easyrec.train.beginning import begin
from easyrec.train.objective import Objective

TWO = [TaskConfig(name="ctr", label="click"), TaskConfig(name="cvr", label="buy")]
DEEP = {"features": ["user", "item", "cate", "price", "size"], "sequences": [{"sequence": "clicks"}]}


def composed(case, task, blocks, heads, tasks=None, **keys):
    made = case("backbone", **{"blocks": yaml.safe_load(blocks), "heads": yaml.safe_load(heads), **keys})
    torch.manual_seed(0)
    return build(made.config, made.plan, tasks or [task]), made


def test_the_logit_is_the_head_of_what_the_blocks_give(case, task):
    blocks = """
    - {name: all, type: flat}
    - {name: hidden, type: linear, units: 3, input: all}
    - {name: square, type: product, input: [hidden, hidden]}
    - {name: one, type: first_order}
    """
    model, made = composed(case, task, blocks, "[{input: square, terms: one}]")
    x = made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    layer, head = model.graph.blocks["hidden"].layer, model.heads[0].layers[0]
    expected = (layer(flat) ** 2) @ head.vector.weight[0] + model.linear(x)[:, 0]
    torch.testing.assert_close(model(x)["logit"], expected)


def test_the_order_of_the_blocks_does_not_matter(case, task):
    blocks = [
        "{name: all, type: flat}",
        "{name: a, type: linear, units: 3, input: all}",
        "{name: b, type: scale, input: a}",
    ]
    found = []
    for order in (blocks, blocks[::-1]):
        model, made = composed(case, task, "\n".join(f"- {block}" for block in order), "[{input: b}]")
        found.append(model(made.inputs(5))["logit"])
    assert torch.equal(*found)


def test_inputs_may_be_written_in_place(case, task):
    named, made = composed(
        case, task, "[{name: f, type: fields}, {name: m, type: fm, input: f}]", "[{terms: m}]", groups={"deep": DEEP}
    )
    placed, _ = composed(
        case, task, "[{name: m, type: fm, input: {type: fields}}]", "[{terms: m}]", groups={"deep": DEEP}
    )
    whole, _ = composed(
        case, task, "[{name: x, type: fields}]", "[{terms: [{type: fm, input: x}]}]", groups={"deep": DEEP}
    )
    x = made.inputs(5)
    assert torch.equal(named(x)["logit"], placed(x)["logit"])
    assert torch.equal(named(x)["logit"], whole(x)["logit"])


def test_blocks_that_call_a_package_share_its_weights(case, task):
    keys = {
        "packages": yaml.safe_load("""
        - name: tower
          inputs: [x]
          blocks: [{name: deep, type: mlp, input: x, hidden: [6]}, {name: out, type: linear, input: deep, units: 2}]
          output: out
        """)
    }
    blocks = """
    - {name: a, type: package, package: tower, input: {type: field, feature: item}}
    - {name: b, type: package, package: tower, input: {type: field, feature: cate}}
    """
    model, made = composed(case, task, blocks, "[{input: [a, b]}]", **keys)
    x = made.inputs(5)
    values = model.graph(model, x, {})
    tower = model.packages["tower"]
    (
        torch.testing.assert_close(values[n], tower(model, x, [x.feature("deep", f)]))
        for n, f in (("a", "item"), ("b", "cate"))
    )
    item = x.feature("deep", "item")
    deep, out = tower.graph.blocks["deep"].layer[0], tower.graph.blocks["out"].layer
    torch.testing.assert_close(values["a"], out(torch.relu(deep(item))))
    assert sum(p.numel() for p in model.parameters()) == (4 * 6 + 6) + (6 * 2 + 2) + (4 + 1)
    assert len({name.split(".")[0] for name in model.state_dict()} - {"heads"}) == 1  # stored once
    own, _ = composed(
        case,
        task,
        blocks.replace(
            "tower, input: {type: field, feature: cate", "tower, own: true, input: {type: field, feature: cate"
        ),
        "[{input: [a, b]}]",
        **keys,
    )
    assert sum(p.numel() for p in own.parameters()) == 2 * (30 + 14) + 5


def test_a_package_is_called_inside_copies_and_reads_groups_and_gives_lists(case, task):
    keys = {
        "packages": yaml.safe_load("""
        - name: residual
          inputs: [first, x]
          blocks:
            - {name: gate, type: activation, activation: sigmoid, input: {type: linear, units: 4, input: {type: field, feature: user}}}
            - {name: moved, type: product, input: [gate, {type: linear, units: 4, input: x}]}
            - {name: out, type: sum, input: [moved, first]}
          output: [out, gate]
        """)
    }
    blocks = """
    - {name: item, type: field, feature: item}
    - {name: cate, type: field, feature: cate}
    - {name: r, type: parallel, times: 2, input: [item, cate], block: {type: package, package: residual, own: true}}
    - {name: last, type: item, input: r, index: 2}
    """
    model, made = composed(case, task, blocks, "[{input: [r, last]}]", **keys)
    assert [len(model.graph.forms[name]) for name in ("r", "last")] == [4, 1]
    x = made.inputs(5)
    assert model(x)["logit"].shape == (5,)
    assert sum(p.numel() for p in model.parameters()) == 2 * 2 * 20 + 20 + 1
    program = to_calls(export_program(model.eval(), made.layouts))
    exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
    torch.testing.assert_close(exported["logit"], model(x)["logit"].detach())


def test_each_task_has_its_head(case, task):
    blocks = """
    - {name: all, type: flat}
    - {name: experts, type: parallel, times: 3, input: all, block: {type: mlp, hidden: [4]}, output: stack}
    - {name: gates, type: parallel, times: 2, input: all, block: {type: linear, units: 3, bias: false}}
    - {name: a, type: mix, input: experts, weights: {type: item, input: gates, index: 0}}
    - {name: b, type: mix, input: experts, weights: {type: item, input: gates, index: 1}}
    - {name: towers, type: map, input: [a, b], block: {type: mlp, hidden: [2]}}
    """
    model, made = composed(case, task, blocks, "[{each: towers}]", TWO)
    x = made.inputs(5)
    values, logits = model.graph(model, x, {}), model(x)
    assert list(logits) == ["ctr", "cvr"]
    for name, tower, head in zip(logits, values["towers"], model.heads[0].layers, strict=True):
        torch.testing.assert_close(logits[name], tower @ head.vector.weight[0] + head.bias)
    apart = "[{tasks: [cvr], input: b}, {tasks: [ctr], input: a}]"
    other, _ = composed(case, task, blocks.rpartition("- {name: towers")[0], apart, TWO)
    logits, values = other(x), other.graph(other, x, {})
    assert list(logits) == ["ctr", "cvr"]
    torch.testing.assert_close(logits["cvr"], values["b"] @ other.heads[0].layers[0].vector.weight[0])


def test_values_begin_at_their_mean_in_heads_of_their_own(case, task):
    tasks = [task, TaskConfig(name="price", label="price", type="regression")]
    for heads in ("[{tasks: [click], input: all}, {tasks: [price], input: all}]", "[{input: all}]"):
        model, _ = composed(case, task, "[{name: all, type: flat}]", heads, tasks)
        assert begin(model, Objective(tasks), {"click": torch.ones(4), "price": torch.tensor([1.0, 2, 3, 6])}, None)
        names = [name for head in model.modules() if isinstance(head, Head) for name in head.names]
        assert sorted(names) == ["click", "price"]
        biases = [b for head in model.modules() if isinstance(head, Head) for b in head.bias.tolist()]
        assert biases == [0.0, 3.0]


def test_an_alias_of_a_sequence_is_read_by_its_name(case, task):
    entries = [{"sequence": "clicks"}, {"sequence": "clicks", "name": "again", "encoder": "din"}]
    for name, width in (("clicks", 12), ("again", 12)):
        blocks = f"[{{name: all, type: flat}}, {{name: s, type: sequence, sequence: {name}}}]"
        model, made = composed(
            case, task, blocks, "[{input: [all, s]}]", groups={"deep": {**DEEP, "sequences": entries}}
        )
        assert model.graph.forms["s"] == (width,)
        model(made.inputs(5))
    pooled = [{"sequence": "clicks", "name": "again"}]
    model, _ = composed(
        case,
        task,
        "[{name: s, type: sequence, sequence: again}]",
        "[{input: s}]",
        groups={"deep": {**DEEP, "sequences": pooled}},
    )
    assert model.graph.forms["s"] == (12,)
    twice = [{"sequence": "clicks"}, {"sequence": "clicks", "name": "again"}]
    blocks = "[{name: a, type: sequence, sequence: clicks}, {name: b, type: sequence, sequence: again}]"
    model, made = composed(case, task, blocks, "[{input: [a, b]}]", groups={"deep": {**DEEP, "sequences": twice}})
    x = made.inputs(5)
    values = model.graph(model, x, {})
    assert torch.equal(torch.cat([values["a"], values["b"]], 1), x.tensors["emb:deep"][:, 12:])


def test_a_sequence_is_read_pooled_or_attended_and_encoded_once(case, task, monkeypatch):
    blocks = """
    - {name: fields, type: fields}
    - {name: flat, type: flat}
    - {name: clicks, type: sequence, sequence: clicks}
    """
    heads = "[{input: [fields, flat, clicks]}]"
    pooled, made = composed(case, task, blocks, heads)
    x = made.inputs(5)
    span = made.layouts["deep"].field("clicks__item").start
    assert torch.equal(pooled.graph(pooled, x, {})["clicks"], x.tensors["emb:deep"][:, span : span + 12])
    attended, made = composed(
        case, task, blocks, heads, groups={"deep": {**DEEP, "sequences": [{"sequence": "clicks", "encoder": "din"}]}}
    )
    calls = []
    encoder = attended.encoders["deep__clicks"]
    forward = type(encoder).forward
    monkeypatch.setattr(type(encoder), "forward", lambda self, *a: calls.append(1) or forward(self, *a))
    values = attended.graph(attended, made.inputs(5), {})
    attended(made.inputs(5))
    assert len(calls) == 3 + 1
    torch.testing.assert_close(values["clicks"], values["fields"][:, 3:].flatten(1))


def test_a_block_may_be_called_like_a_method_of_a_module(case, task):
    model, made = composed(
        case, task, "[{name: values, type: flat}, {name: pop, type: linear, units: 2, input: values}]", "[{input: pop}]"
    )
    assert model(made.inputs(5))["logit"].shape == (5,)


def test_a_group_of_numbers_alone_needs_no_embeddings(case, task):
    model, made = composed(
        case, task, "[{name: n, type: dense}]", "[{input: n}]", groups={"deep": ["item", "price", "size"]}
    )
    assert made.plan.tables == ()
    assert model(made.inputs(5))["logit"].shape == (5,)


# ------------------------------------------------------------------------------------------------ refusals

GOOD = """\
data:
  train: {type: parquet, path: train.parquet}
  labels: [click, buy]
features:
  - {type: id, name: user, expression: "user:user", num_buckets: 100, embedding_dim: 8}
  - {type: id, name: item, expression: "item:item", num_buckets: 50, embedding_dim: 8}
  - {type: raw, name: price, expression: "item:price"}
  - {type: id, name: cate, expression: "item:cate", num_buckets: 9, embedding_dim: 4}
model:
  type: backbone
  groups: {deep: [user, item, price], other: [cate]}
  packages:
    - {name: tower, inputs: [x], blocks: [{name: h, type: mlp, input: x, hidden: [4]}], output: h}
  blocks:
    - {name: fields, type: fields}
    - {name: fm, type: fm, input: fields}
    - {name: cate, type: flat, group: other}
    - {name: a, type: package, package: tower, input: cate}
    - {name: deep, type: mlp, input: [fields, a], hidden: [8]}
  heads:
    - {tasks: [ctr], input: deep, terms: fm}
    - {tasks: [cvr], input: [a, deep]}
  tasks: [{name: ctr, label: click}, {name: cvr, label: buy}]
"""

# id: (text, its replacement, [(line, place, what the message says)])
REFUSED = {
    "unknown-block": ("input: fields}", "input: feilds}", [(16, "model . blocks[1] 'fm' . input", "no block is called 'feilds'; did you mean 'fields'?\n           known: fields, fm, cate, a, deep")]),
    "unknown-in-a-list": ("[fields, a]", "[fields, b]", [(19, "model . blocks[4] 'deep' . input[1]", "no block is called 'b'")]),
    "unknown-type": ("type: fm,", "type: fmm,", [(16, "model . blocks[1] 'fm' . type", "unknown type 'fmm'; did you mean 'fm'?")]),
    "unknown-type-in-place": ("input: cate}", "input: {type: flatt, group: other}}", [(18, "model . blocks[3] 'a' . input . type", "unknown type 'flatt'; did you mean 'flat'?"), (17, "model . blocks[2] 'cate'", "'cate' reaches no head")]),
    "unknown-key": ("hidden: [8]}", "hiden: [8]}", [(19, "model . blocks[4] 'deep' . hiden", "unknown key; did you mean 'hidden'?")]),
    "unknown-group": ("group: other", "group: othr", [(17, "model . blocks[2] 'cate' . group", "no group is called 'othr'; did you mean 'other'?"), (11, "model . groups . other", "reads no group 'other'")]),
    "unknown-package": ("package: tower, input", "package: towr, input", [(18, "model . blocks[3] 'a' . package", "no package is called 'towr'; did you mean 'tower'?"), (13, "model . packages[0] 'tower'", "no block calls the package 'tower'")]),
    "unknown-task": ("tasks: [cvr]", "tasks: [cvrr]", [(22, "model . heads[1] . tasks[0]", "no task is called 'cvrr'; did you mean 'cvr'?\n           known: ctr, cvr"), (23, "model . tasks[1] 'cvr'", "no head predicts the task 'cvr'")]),
    "unknown-in-a-head": ("terms: fm", "terms: mf", [(21, "model . heads[0] . terms", "no block is called 'mf'"), (16, "model . blocks[1] 'fm'", "'fm' reaches no head: name it as an input, or leave it out")]),
    "task-twice": ("tasks: [cvr]", "tasks: [ctr, cvr]", [(20, "model . heads", "2 heads predict the task 'ctr'")]),
    "no-input": (", input: fields}", "}", [(16, "model . blocks[1] 'fm'", "'fm' needs 'input', what it reads")]),
    "no-input-of-a-head": (", input: [fields, a], hidden", ", hidden", [(19, "model . blocks[4] 'deep'", "'mlp' needs 'input', what it reads")]),
    "no-input-in-place": (", input: [fields, a], hidden", ", input: {type: mlp, hidden: [3]}, hidden", [(19, "model . blocks[4] 'deep' . input", "'mlp' needs 'input', what it reads")]),
    "empty-input": (", input: [fields, a], hidden", ", input: [], hidden", [(19, "model . blocks[4] 'deep'", "'mlp' needs 'input', what it reads")]),
    "input-of-a-group-block": ("type: fields}", "type: fields, input: fm}", [(15, "model . blocks[0] 'fields' . input", "unknown key")]),
    "no-name": ("{name: fm, ", "{", [(16, "model . blocks[1]", "needs a 'name'"), (21, "model . heads[0] . terms", "no block is called 'fm'")]),
    "name-twice": ("{name: fm,", "{name: fields,", [(16, "model . blocks[1] 'fields' . name", "the name 'fields' is given twice"), (21, "model . heads[0] . terms", "no block is called 'fm'")]),
    "odd-name": ("{name: fields,", "{name: f__s,", [(15, "model . blocks[0] 'f__s' . name", "must be a plain name of letters, digits and single '_'"), (15, "model . blocks[0] 'f__s'", "reaches no head"), (16, "model . blocks[1] 'fm' . input", "no block is called 'fields'"), (19, "model . blocks[4] 'deep' . input[0]", "no block is called 'fields'")]),
    "circle": ("input: cate}", "input: deep}", [(18, "model . blocks[3] 'a'", "blocks read each other in a circle: a -> deep -> a"), (17, "model . blocks[2] 'cate'", "reaches no head")]),
    "unused": ("terms: fm}", "terms: []}", [(16, "model . blocks[1] 'fm'", "'fm' reaches no head")]),
    "rank": ("input: fields}", "input: cate}", [(16, "model . blocks[1] 'fm'", "reads fields (F, D), but is given (B, 4)")]),
    "dims": ("[user, item, price]", "[user, item, cate]", [(15, "model . blocks[0] 'fields'", "needs fields of equal dims, but those of 'deep' are: user 8, item 8, cate 4\n           set embedding_dim: 8 at: cate")]),
    "term-of-a-vector": ("terms: fm}", "terms: [fm, a]}", [(21, "model . heads[0] . terms", "a term is one number per row, (B, 1), but 'a' is (B, 4)")]),
    "head-of-nothing": (", input: [a, deep]}", "}", [(22, "model . heads[1]", "needs 'input', 'each' or 'terms'")]),
    "each-of-two": ("{tasks: [cvr], input: [a, deep]}", "{tasks: [cvr], each: [a, deep]}", [(22, "model . heads[1] . each", "has 2 vectors for 1 tasks: cvr")]),
    "package-input": ("input: cate}", "input: [cate, cate]}", [(18, "model . blocks[3] 'a'", "package 'tower' has 1 inputs (x), but is given 2")]),
    "package-shapes": ("input: [fields, a]", "input: [fields, a, {type: package, package: tower, input: fields}]", [(19, "model . blocks[4] 'deep' . input[2]", "package 'tower' was first called with (B, 4), here with (B, 2, 8)")]),
    "package-name": ("name: tower, inputs", "name: a.b, inputs", [(13, "model . packages[0] 'a.b' . name", "must be a plain name"), (18, "model . blocks[3] 'a' . package", "no package is called 'tower'"), (13, "model . packages[0] 'a.b'", "no block calls the package 'a.b'")]),
    "package-unused-input": ("inputs: [x]", "inputs: [x, y]", [(13, "model . packages[0] 'tower' . inputs[1]", "the input 'y' does not reach the output"), (18, "model . blocks[3] 'a'", "has 2 inputs (x, y), but is given 1")]),
    "package-inside": ("type: mlp, input: x, hidden: [4]", "type: fm, input: x", [(13, "model . packages[0] 'tower' . blocks[0] 'h'", "reads fields (F, D), but is given (B, 4)")]),
    "package-unknown": ("input: x, hidden: [4]", "input: z, hidden: [4]", [(13, "model . packages[0] 'tower' . blocks[0] 'h' . input", "no block is called 'z'\n           known: x, h"), (13, "model . packages[0] 'tower' . inputs[0]", "the input 'x' does not reach")]),
    "package-calls-itself": ("{name: h, type: mlp, input: x, hidden: [4]}", "{name: h, type: package, package: tower, input: x}", [(13, "model . packages[0] 'tower'", "package 'tower' calls itself")]),
    "wrong-field": ("{name: cate, type: flat, group: other}", "{name: cate, type: field, group: other, feature: cat}", [(17, "model . blocks[2] 'cate'", "group 'other' has no field 'cat'; did you mean 'cate'?")]),
    "no-sequence": ("{name: cate, type: flat, group: other}", "{name: cate, type: sequence, group: other, sequence: clicks}", [(17, "model . blocks[2] 'cate'", "group 'other' has no sequence 'clicks'\n           it has: none; list it under model.groups.other.sequences")]),
    "no-numbers": ("{name: cate, type: flat, group: other}", "{name: cate, type: dense, group: other}", [(17, "model . blocks[2] 'cate'", "group 'other' has no numeric inputs")]),
    "own-package-calls-itself": ("{name: h, type: mlp, input: x, hidden: [4]}", "{name: h, type: package, package: tower, own: true, input: x}", [(13, "model . packages[0] 'tower'", "package 'tower' calls itself")]),
    "below-a-copy": ("{name: deep, type: mlp, input: [fields, a], hidden: [8]}", "{name: deep, type: repeat, times: 2, input: a, block: {type: fm}}", [(19, "model . blocks[4] 'deep' . block", "reads fields (F, D), but is given (B, 4)")]),
}  # fmt: skip


def refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / "c.yaml")
    return str(error.value)


def test_the_config_that_the_others_break_is_good(tmp_path):
    (tmp_path / "c.yaml").write_text(GOOD)
    assert load_experiment(tmp_path / "c.yaml").model.type == "backbone"


@pytest.mark.parametrize(("old", "new", "problems"), REFUSED.values(), ids=REFUSED)
def test_wrong_wiring_is_told_with_line_place_and_mend(tmp_path, old, new, problems):
    assert GOOD.count(old) == 1
    told = refused(tmp_path, GOOD.replace(old, new))
    assert f"{len(problems)} problem" in told.splitlines()[0], told
    for line, where, message in problems:
        assert f"line {line}  {where}\n           {message}" in told or (
            f"line {line}  {where}\n" in told and message in told
        ), told


def test_names_heads_and_shapes_come_in_one_report(tmp_path):
    text = (
        GOOD.replace("input: fields}", "input: cate}")
        .replace("terms: fm}", "terms: fn}")
        .replace("tasks: [cvr]", "tasks: [cvv]")
    )
    told = refused(tmp_path, text.replace("num_buckets: 50, embedding_dim: 8", "num_buckets: 50, embedding_dim: 6"))
    for message in (
        "no block is called 'fn'",
        "reads fields (F, D)",
        "no task is called 'cvv'",
        "user 8, item 6",
        "no head predicts",
    ):
        assert message in told


def test_wrong_keys_and_wrong_names_come_in_one_report(tmp_path):
    text = (
        GOOD.replace("hidden: [8]", "hiden: [8]")
        .replace("input: fields}", "input: feilds}")
        .replace("terms: fm}", "term: fm}")
    )
    told = refused(tmp_path, text)
    for message in ("did you mean 'hidden'?", "did you mean 'fields'?", "did you mean 'terms'?"):
        assert message in told
    assert told.splitlines()[0].endswith("3 problems")


def test_building_refuses_what_loading_refuses(case, task):
    with pytest.raises(ConfigError, match="no block is called 'y'"):
        composed(case, task, "[{name: x, type: fields}, {name: z, type: fm, input: y}]", "[{terms: z, input: x}]")


def test_inputs_are_names_or_blocks():
    for value in (3, [["a"]], [3]):
        with pytest.raises(ValidationError, match="must be a block's name, a block, or a list of these"):
            Config.model_validate(
                {"type": "backbone", "blocks": [{"name": "a", "type": "fm", "input": value}], "heads": [{"terms": "a"}]}
            )
