from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.embedding.plan import plan_embeddings
from easyrec.models import build
from easyrec.models._boxes import Box, Panel, Picture
from easyrec.models._picture import picture
from easyrec.report.graph import graph, write_graph
from easyrec.starter import starter
from feature_generator.config import members

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
ODD = '<b> & "c"'


def boxes(config):
    experiment = load_experiment(config)
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    torch.manual_seed(0)
    model = build(experiment.model, plan, experiment.tasks)
    return {box.title: box for panel in picture(model, plan).panels for box in panel.boxes}, model, plan


def texts(root):
    return [element.text for element in root.iter() if element.tag.endswith("text")]


def test_a_composed_model_shows_groups_blocks_heads_shapes_and_weights():
    found, model, _ = boxes(ROOT / "configs" / "backbone" / "dcn_v2.yaml")
    assert found["cross"].lines == ("recurrence 3 x cross_layer", "(B, 240)", "173,520 weights")
    assert found["cross"].reads == ("flat",)
    assert found["flat"].reads == ("group:deep",)
    assert found["click"].kind == "head"
    assert found["click"].reads == ("cross", "deep")
    numbers = [
        int(line.split()[0].replace(",", ""))
        for box in found.values()
        for line in box.lines
        if line.endswith("weights")
    ]
    assert sum(numbers) == sum(p.numel() for p in model.parameters())


def test_a_package_has_a_panel_of_its_own(tmp_path):
    text = starter("backbone")
    head, _, tail = text.partition("  # The graph, in any order.")
    text = head.replace(
        "packages: []",
        "packages:\n    - {name: tower, inputs: [x], blocks: [{name: h, type: mlp, input: x}], output: h}",
    )
    text += """  blocks:
    - {name: a, type: package, package: tower, input: {type: field, feature: city}}
    - {name: b, type: package, package: tower, input: {type: field, feature: brand}}
  heads: [{input: [a, b]}]
"""
    (tmp_path / "c.yaml").write_text(text + "train:" + tail.partition("train:")[2])
    found, _, _ = boxes(tmp_path / "c.yaml")
    assert found["a"].lines == ("package tower", "(B, 128)")
    assert found["x"].lines == ("input", "(B, 16)")
    assert found["h"].reads == ("x",)
    assert found["output"].reads == ("h",)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", members("easyrec.models"))
def test_every_model_is_drawn(name, tmp_path):
    (tmp_path / "first.yaml").write_text(starter(name))
    found, model, plan = boxes(tmp_path / "first.yaml")
    for panel in picture(model, plan).panels:
        known = {box.id: box for box in panel.boxes}
        assert len(known) == len(panel.boxes)
        assert {box.kind for box in panel.boxes} >= {"group", "head"}
        assert all(ref in known for box in panel.boxes for ref in box.reads)
        read = {ref for box in panel.boxes for ref in box.reads}
        assert all(box.kind == "head" or box.id in read for box in panel.boxes)
    for task in model.tasks:
        assert task.name in ", ".join(found)


def test_what_makes_and_weighs_fields_stands_at_its_group():
    number = {"type": "raw", "name": "x", "expression": "item:x", "embedding_dim": 4, "dense_embedding": "periodic"}
    config = {
        "name": "n",
        "data": {"labels": ["click"], "train": {"type": "parquet", "path": "none.parquet"}},
        "features": [number, {"type": "id", "name": "i", "expression": "item:i", "num_buckets": 5, "embedding_dim": 4}],
        "model": {"type": "fm", "groups": {"deep": {"features": ["x", "i"], "feature_wise": ["senet"]}}},
    }
    found, _, _ = boxes(config)
    assert found["periodic"].reads == found["senet"].reads == ("group:deep",)
    assert found["periodic"].lines[0] == "Periodic"
    assert found["senet"].id in found["pairs"].reads
    plain, _, _ = boxes({**config, "features": config["features"][1:], "model": {"type": "fm"}})
    assert "numeric" not in plain


def test_drawing_changes_nothing_of_the_model():
    _, model, plan = boxes(ROOT / "configs" / "shop" / "din.yaml")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    picture(model.train(), plan)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_file_is_an_svg_with_every_text_escaped_and_the_same_each_time(tmp_path):
    drawn = Picture([Panel("", (Box("a", ODD, "group", (ODD,), note=ODD), Box("b", "b", "head", (), ("a",))))])
    for name in ("one.svg", "two.svg"):
        write_graph(tmp_path / name, drawn, ODD, "子标题")
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == f"{SVG}svg"
    assert texts(root).count(ODD) == 3
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "script" not in (tmp_path / "one.svg").read_text()


def test_nothing_lies_outside_the_page():
    found, _, _ = boxes(ROOT / "configs" / "backbone" / "deepfm.yaml")
    root = graph(Picture([Panel("", tuple(found.values()))]), "t", "s")
    width, height = float(root.get("width")), float(root.get("height"))
    for box in root.iter("rect"):
        x, y, wide, tall = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + wide <= width
        assert y + tall <= height


def test_check_draws_the_model(tmp_path, capsys):
    target = tmp_path / "model.svg"
    assert (
        main(["check", "-c", str(ROOT / "configs" / "backbone" / "din.yaml"), "--config-only", "--graph", str(target)])
        == 0
    )
    assert "model.svg: the model, drawn" in capsys.readouterr().out.replace("\n", "")
    config = str(ROOT / "configs" / "shop" / "lr.yaml")
    assert main(["check", "-c", config, "--config-only", "--graph", str(tmp_path / "model.png")]) == 2
    assert "name a file that ends in .svg" in capsys.readouterr().err
    shown = texts(ElementTree.parse(target).getroot())
    for text in ("backbone_din", "deep", "clicks", "interest", "click", "(B, 64)"):
        assert text in shown
    assert (
        main(
            [
                "check",
                "-c",
                str(ROOT / "configs" / "shop" / "lr.yaml"),
                "--config-only",
                "--graph",
                str(tmp_path / "no" / "x.svg"),
            ]
        )
        == 1
    )
