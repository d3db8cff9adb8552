import subprocess
import sys

import pytest
import torch

from easyrec.config.family import implementation
from easyrec.models import build
from easyrec.models.deepfm import DeepFM
from easyrec.modules.sequence.din import DIN
from easyrec.modules.sequence.pooling import Pooling


def test_the_type_names_the_class_of_its_file(case, task):
    assert type(build(case("deepfm").config, case("deepfm").plan, [task])) is DeepFM


def test_a_file_defines_one_class_of_its_family():
    with pytest.raises(TypeError, match=r"easyrec\.models\.deepfm must define one class over int, but defines: none"):
        implementation("easyrec.models", "deepfm", int)


def test_every_sequence_has_an_encoder_of_its_own(case, task):
    entries = [{"sequence": "clicks"}, {"sequence": "buys", "encoder": {"type": "pooling", "product": True}}]
    made = case("din", sequences=entries)
    encoders = dict(build(made.config, made.plan, [task]).encoders)
    assert {name: type(e) for name, e in encoders.items()} == {"deep__clicks": DIN, "deep__buys": Pooling}


def test_the_widths_that_a_model_plans_with_are_those_it_gets(case, task):
    entries = [{"sequence": "clicks", "encoder": {"type": "din", "product": True}}, {"sequence": "buys"}]
    made = case("deepfm", sequences=entries)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.flat(x).shape == (5, model.width())
    assert model.fields(x).shape == (5, model.num_fields(), model.dim())
    torch.testing.assert_close(model.flat(x, fields=model.fields(x)).sort().values, model.flat(x).sort().values)


def test_flat_copies_nothing_where_there_are_fields_alone(case, task):
    made = case("deepfm", features=["user", "item"], sequences=[])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert model.flat(x).data_ptr() == model.fields(x).data_ptr() == x.tensors["emb:deep"].data_ptr()


def test_the_family_needs_no_torch_until_a_model_is_built():
    code = "import sys, easyrec.models, easyrec.modules.sequence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
