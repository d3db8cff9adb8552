import pytest
from torch import nn

from easyrec.modules.named import RESERVED, module_name

ODD = ["", ".", "a.b", "a..b", "a%2Eb", "a%252Eb", "%", "train", "train%", "train%25", "T_destination", "a b/c:d", "_x"]


@pytest.mark.parametrize("name", [*ODD, *sorted({*RESERVED, *dir(nn.ModuleDict())} - set(ODD))])
def test_torch_takes_any_name(name):
    modules = nn.ModuleDict({module_name(name): nn.Linear(1, 1)})
    assert list(modules.state_dict()) == [f"{module_name(name)}.weight", f"{module_name(name)}.bias"]


def test_different_names_stay_different_and_plain_ones_as_they_are():
    names = [*ODD, *RESERVED, "deep", "user_1"]
    assert len({module_name(name) for name in names}) == len(set(names))
    assert (module_name("deep"), module_name("user_1")) == ("deep", "user_1")
