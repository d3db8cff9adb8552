"""Members of families in single files: a model of one's own from training to serving, and what is refused."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import easyrec
from easyrec import models
from easyrec.cli import main
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.export.trial import try_out
from feature_generator import plugins
from feature_generator.config import member, members, plug

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "my_model.py"
CONFIG = """\
name: tiny
data:
  train: {type: parquet, path: rows.parquet}
  valid: {type: parquet, path: rows.parquet}
  labels: [click]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 100, embedding_dim: 4}
  - {type: id, name: tag, expression: "item:tag", vocab_list: [a, b], embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
model: {type: my_model, hidden: [8], strength: 3}
train: {epochs: 1, sparse_optimizer: {type: lazy_adam, lr: 0.05}}
eval: {metrics: [auc]}
"""


@pytest.fixture(autouse=True)
def forgotten():
    """No plugins before a test, and none after it."""
    forget()
    yield
    forget()


def forget():
    plugins.files.clear()
    plugins.packages.clear()
    members.cache_clear()


@pytest.fixture
def here(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    users = rng.integers(0, 30, 400)
    rows = {
        "user_id": users,
        "tag": np.array(["a", "b"])[users % 2],
        "price": rng.random(400).astype(np.float32),
        "click": (rng.random(400) < (users % 3) / 3).astype(np.int64),
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    shutil.copy(MODEL, tmp_path / "my_model.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SERVE = """
import json, sys
from serving import Predictor
scores = Predictor.load("runs/tiny/bundle").predict(
    user={"user_id": 3}, items=[{"tag": "a", "price": 0.5}, {"tag": "b", "price": 0.1}])
print(json.dumps([float(s) for s in scores["click"]]))
assert not any(name.startswith("plugged_") for name in sys.modules)
"""


def test_a_model_of_one_file_goes_from_training_to_serving(here, capsys, caplog):
    assert main(["train", "-c", "tiny.yaml"]) == 2
    assert "unknown type 'my_model'" in capsys.readouterr().err
    for words in (["check", "--config-only"], ["train", "--no-bar"]):
        assert main([words[0], "-c", "tiny.yaml", "--plugin", "my_model.py", *words[1:]]) == 0
    (recorded,) = json.loads(Path("runs/tiny/plugins.json").read_text())
    assert (recorded["plugin"], recorded["family"], recorded["type"]) == ("my_model.py", "easyrec.models", "my_model")
    assert json.loads(Path("runs/tiny/bundle/manifest.json").read_text())["plugins"] == [recorded]
    predicted = easyrec.predict("runs/tiny", "rows.parquet")
    forget()
    capsys.readouterr()
    pd.read_parquet("rows.parquet").to_csv("rows.csv")
    for command in ("evaluate", "export", "predict", "check"):
        words = ["--input", "rows.parquet", "--output", "p.parquet"] if command == "predict" else []
        assert main([command, "-c", "runs/tiny", *words]) == 2
        err = capsys.readouterr().err
        assert "was trained with the plugin my_model.py, which is not plugged in" in err
        assert 'give --plugin my_model.py, in Python plugins=["my_model.py"]' in err
    again = easyrec.predict("runs/tiny", "rows.parquet", plugins=["my_model.py"])
    pd.testing.assert_frame_equal(again, predicted)
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", SERVE], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = pd.DataFrame({"user_id": [3, 3], "tag": ["a", "b"], "price": [0.5, 0.1]})
    expected = easyrec.predict("runs/tiny", rows)["click"]
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-6)


def test_a_file_that_has_changed_is_run_again_and_told_of(here, caplog):
    easyrec.train("tiny.yaml", plugins=["my_model.py"], export=False, progress=False)
    plug("my_model.py")
    first = member("easyrec.models", "my_model")
    text = Path("my_model.py").read_text()
    Path("my_model.py").write_text(text.replace("Field(2.0,", "Field(4.0,"))
    plug("my_model.py")
    assert member("easyrec.models", "my_model") is not first
    assert member("easyrec.models", "my_model").Config().strength == 4.0
    with caplog.at_level(logging.WARNING):
        easyrec.evaluate("runs/tiny")
    assert "has changed since it was used here" in caplog.text


def test_a_run_without_plugins_says_nothing_of_them(here):
    easyrec.train("tiny.yaml", plugins=["my_model.py"], overrides=["model={type: lr}"], export=False, progress=False)
    assert not Path("runs/tiny/plugins.json").exists()


MEMBERS = {
    "easyrec.losses": """
from easyrec.losses import LossConfig
from easyrec.losses._loss import Loss
class Config(LossConfig):
    task_types = frozenset({"binary"})
class Own(Loss):
    def of_rows(self, logits, labels): return (logits - labels) ** 2
    def predict(self, logits): return logits.clamp(0, 1)
""",
    "easyrec.metrics": """
from easyrec.metrics import MetricConfig
from easyrec.metrics._metric import Mean
class Config(MetricConfig):
    task_types = frozenset({"binary"})
    better = "lower"
class Own(Mean):
    def of_rows(self, labels, predictions): return abs(labels - predictions)
""",
    "easyrec.modules.sequence": """
from easyrec.modules.sequence import EncoderConfig, SequenceEncoder
class Config(EncoderConfig):
    type: str = "own"
class Own(SequenceEncoder):
    needs_query = False
    def forward(self, steps, query): return steps.values[steps.offsets[1:] - 1]
""",
    "easyrec.modules.blocks": """
from easyrec.modules.blocks import LayerConfig, Block
class Config(LayerConfig):
    power: float = 2.0
class Own(Block):
    def __init__(self, config, around, input):
        super().__init__(config, around)
        self.shape = input
    def forward(self, input): return input ** self.config.power
""",
    "feature_generator.features": """
from feature_generator.features.raw import Config as Raw
from typing import Literal
class Config(Raw):
    type: Literal["own"] = "own"
""",
}


@pytest.mark.parametrize("family", MEMBERS)
def test_a_file_is_of_the_family_of_its_base_config(tmp_path, family):
    (tmp_path / "own.py").write_text(MEMBERS[family])
    plug(tmp_path / "own.py")
    assert "own" in members(family)
    assert [f for f, name in plugins.files if name == "own"] == [family]


def test_a_block_of_ones_own_stands_in_a_graph(tmp_path):
    from easyrec.modules.blocks._block import run
    from easyrec.modules.blocks._graph import Surroundings

    (tmp_path / "own.py").write_text(MEMBERS["easyrec.modules.blocks"])
    plug(tmp_path / "own.py")
    config = member("easyrec.modules.blocks", "own").Config(type="own", input="x", power=3.0)
    block = Surroundings(None, [], {}, ()).made(config, {"input": [(2,)]})
    assert torch.equal(run(block, None, None, {"input": [torch.full((1, 2), 2.0)]}), torch.full((1, 2), 8.0))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("deepfm.py", "from easyrec.models import ModelConfig\nclass Config(ModelConfig):\n    pass\n", "easyrec.models has a type 'deepfm' already: give the file another name"),
        ("mine.py", "x = 1\n", "must hold a class 'Config' over the base config of a family"),
        ("mine.py", "import no_such_module\n", "cannot be plugged in: ModuleNotFoundError: No module named 'no_such_module'"),
        ("mine.py", "def f(:\n", "cannot be plugged in: SyntaxError"),
        ("my-model.py", "", "its name becomes a type's name"),
        ("mine.py", "from typing import Literal\nfrom easyrec.models import ModelConfig\nclass Config(ModelConfig):\n    type: Literal['yours'] = 'yours'\n", "the type is called like its file, 'mine', but its Config says 'yours'"),
    ],
    ids=["taken", "no-config", "import", "syntax", "name", "other-type"],
)  # fmt: skip
def test_a_file_that_is_no_member_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        plug(tmp_path / name)
    assert message in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    assert not plugins.files


def test_a_file_that_is_not_there_is_refused(capsys):
    assert main(["check", "-c", "x.yaml", "--plugin", "nowhere/mine.py"]) == 2
    assert "there is no such file to plug in" in capsys.readouterr().err


def test_a_config_cannot_plug_in_anything(here, capsys):
    Path("tiny.yaml").write_text("plugins: [my_model.py]\n" + CONFIG)
    assert main(["check", "-c", "tiny.yaml"]) == 2
    assert "plugins\n           unknown key" in capsys.readouterr().err


BROKEN = {
    "build": ("self.head = Head(tasks, self.deep.out)", "self.head = Head(tasks, self.width)", 2, "TypeError"),
    "key": ("self.config.strength", "self.config.strenght", 2, "no attribute 'strenght'"),
    "shapes": ("linear(self.width(), self.num_fields())", "linear(self.width(), 5)", 2, "RuntimeError"),
    "names": ("return self.head(", "return {'z': 1} or self.head(", 0, "forward must give logits by name, logit, but gives z"),
    "tensor": ("return self.head(", "return fields.sum((1, 2)) + 0 * self.head(", 2, "TypeError"),
    "wide": ("return self.head(self.deep(self.flat(x, fields=fields * gates.unsqueeze(2))))",
             "return {'logit': gates[:, :1]}", 0, "the logits 'logit' of 7 rows must be (B,) = (7,), but are (7, 1)"),
    "company": ("fields = self.fields(x)", "fields = self.fields(x) - self.fields(x).mean(0)", 0,
                "a row has another 'logit' alone than among 7 rows"),
    "branch": ("gates = ", "fields = fields * (2 if self.gate.weight.sum() > 0 else 1)\n        gates = ", 2, "cannot be exported"),
    "two": ("class GatedFields(Model)", "class Other(Model):\n    pass\n\n\nclass GatedFields(Model)", 0,
            "must define one class over Model, but defines: Other, GatedFields"),
    "import": ("import torch\n", "import torchh\n", 2, "cannot be plugged in: ModuleNotFoundError: No module named 'torchh'"),
    "itself": ("class GatedFields(Model)", "import easyrec\neasyrec.train('tiny.yaml', plugins=[__file__])\n\n\nclass GatedFields(Model)", 2,
               'plugs itself in while it is read: put what it runs below  if __name__ == "__main__":'),
}  # fmt: skip
"""id: (text to replace, its replacement, whether a line is told, what the message says)"""


@pytest.mark.parametrize(("old", "new", "lines", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("command", [["check", "--config-only"], ["train", "--no-bar"]], ids=["check", "train"])
def test_a_model_that_would_fail_later_fails_at_once_and_is_told_where(here, capsys, command, old, new, lines, message):
    text = MODEL.read_text()
    assert old in text
    Path("my_model.py").write_text(text.replace(old, new))
    assert main([command[0], "-c", "tiny.yaml", "--plugin", "my_model.py", *command[1:]]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err, err
    assert "a fault of the program" not in err
    assert "my_model.py" in err
    assert bool(re.search(r"my_model\.py:\d+", err)) == bool(lines), err
    assert not Path("runs/tiny/checkpoints/step-1").exists()
    assert len(err.splitlines()) < 12, err


def test_a_trial_leaves_the_weights_and_the_random_numbers_as_they_were(here):
    """Losses of the first steps are those of a run without a trial."""
    experiment = easyrec.load_experiment("tiny.yaml", plugins=["my_model.py"])
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    torch.manual_seed(3)
    model = models.build(experiment.model, plan, experiment.tasks)
    before, drawn = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    try_out(model, plan.layouts, experiment.tasks)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_first_config_is_trained_with_the_plugin(here, capsys):
    assert main(["new", "--model", "my_model", "--plugin", "my_model.py", "--output", "first.yaml"]) == 0
    assert capsys.readouterr().out == "first.yaml: easyrec train -c first.yaml --plugin my_model.py\n"
