import random

import numpy as np
import torch

from easyrec.train.randomness import load_random_state, random_state, seed_all


def draws():
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(3).tolist()]


def test_the_same_seed_gives_the_same_numbers():
    seed_all(5)
    first = draws()
    seed_all(5)
    assert draws() == first


def test_a_restored_state_gives_the_same_numbers_also_through_json():
    import json

    seed_all(5)
    draws()
    plain, tensors = random_state()
    expected = draws() + draws()
    load_random_state(json.loads(json.dumps(plain)), {name: t.clone() for name, t in tensors.items()})
    assert draws() + draws() == expected
