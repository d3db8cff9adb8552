import pytest
from pydantic import ValidationError

from easyrec.layout import Search
from easyrec.modules.sequence.eta import Config as ETA
from easyrec.modules.sequence.sim import Config as SIM


@pytest.mark.parametrize(
    ("config", "search"),
    [
        (SIM(), Search("hard", 50)),
        (SIM(mode="soft", by="item", top=7), Search("soft", 7, "item")),
        (ETA(), Search("hash", 50, bits=64)),
        (ETA(top=9, bits=32, seed=4, by="cate"), Search("hash", 9, "cate", 32, 4)),
    ],
)
def test_the_lookup_is_asked_to_search(config, search):
    assert config.search == search
    assert config.lookup_pooling is None


@pytest.mark.parametrize("keys", [{"top": 0}, {"bits": 65}, {"bits": 0}, {"seed": -1}])
def test_what_cannot_be_is_refused(keys):
    with pytest.raises(ValidationError):
        ETA(**keys)
