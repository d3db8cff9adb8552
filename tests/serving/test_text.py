"""A title is tokenized, encoded and served as it was trained."""

import json

import numpy as np
import pyarrow as pa
import pytest

import easyrec
from serving import Predictor

pytest.importorskip("tokenizers")
WORDS = ["red", "blue", "old", "new", "shoe", "hat", "bag", "coat"]


def titles(rows, seed=0):
    """Titles of one to five words; what is clicked are new shoes, the words side by side in this order."""
    drawn = np.random.default_rng(seed)
    texts = [" ".join(drawn.choice(WORDS, drawn.integers(1, 6))) for _ in range(rows)]
    for row in range(0, rows, 3):
        texts[row] += " new shoe"
    for row in range(1, rows, 3):
        texts[row] += " shoe new"
    labels = [float("new shoe" in text) for text in texts]
    return pa.table({"user_id": drawn.integers(0, 9, rows), "title": texts, "click": labels})


@pytest.fixture
def config(tmp_path):
    vocabulary = {word: number for number, word in enumerate(["[UNK]", *WORDS])}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None}
    tokenizer |= {"pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None, "model": model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    title = {"type": "tokenize", "name": "title", "expression": "item:title", "embedding_dim": 8}
    title |= {"vocab_file": str(tmp_path / "tokenizer.json"), "tokens_as_sequence": True, "sequence_length": 8}
    entry = {"sequence": "title", "encoder": {"type": "text_cnn", "windows": [2], "filters": 8}}
    return {
        "name": "titles",
        "data": {"labels": ["click"], "batch_size": 64},
        "features": [{"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 9}, title],
        "model": {
            "type": "dnn", "hidden": [16], "embedding_dim": 8, "embedding_init": {"type": "normal", "std": 0.1},
            "groups": {"deep": {"features": ["user_id"], "sequences": [entry]}},
        },
        "train": {
            "epochs": 6, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.02}, "dense_optimizer": {"type": "adam", "lr": 0.02}
        },
    }  # fmt: skip


def test_the_order_of_words_is_learned_and_served(config, tmp_path):
    test = titles(300, seed=1)
    run = easyrec.train(config, data={"train": titles(1500), "test": test}, run_dir=tmp_path / "run")
    assert run.metrics["test"]["auc"] > 0.97  # the bag of words says nothing of the order
    scores = Predictor.load(run.bundle).predict_batch(test)["click"]
    predicted = easyrec.predict(run.path, test)
    np.testing.assert_allclose(scores, np.asarray(predicted["click"]), atol=1e-6)
