import numpy as np
import pytest

from easyrec.batch import Batch
from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from easyrec.models.deepfm import Config
from feature_generator import FeatureGenerator


@pytest.mark.parametrize("threads", [1, 2])
def test_a_small_table_after_a_divided_one_finds_its_own_memory(threads):
    rows, rng = 1000, np.random.default_rng(0)
    per_row = {"large": 40, "small": 9}  # 40,000 ids are divided among parts, 9,000 are fewer than a part has
    ids = {name: rng.integers(0, 500, (rows, count)) for name, count in per_row.items()}
    features = [
        {"type": "id", "name": name, "expression": f"item:{name}", "num_buckets": 500, "embedding_dim": 4}
        for name in per_row
    ]
    generator = FeatureGenerator.load({"features": features})
    table = generator.transform({name: [list(map(int, row)) for row in values] for name, values in ids.items()})
    plan = plan_embeddings(generator.outputs, Config(embedding_dim=4))
    collection = EmbeddingCollection(plan, SGD(), threads=threads)
    before = {spec.name: collection.weights[spec.name].copy() for spec in plan.tables}
    embedded = collection.lookup(Batch.of(table, outputs=generator.outputs))
    sum(tensor.sum() for tensor in embedded.tensors.values() if tensor.requires_grad).backward()
    collection.apply_gradients(0.1)
    for name, values in ids.items():
        moved = 0.1 * np.bincount(values.reshape(-1), minlength=500)[:, None]
        np.testing.assert_allclose(collection.weights[name], before[name] - moved, rtol=1e-4, atol=1e-4)
