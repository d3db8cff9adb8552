"""Encoders against the formula, written out in numpy for one text at a time."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import easyrec.llm.encoders.encoder as encoder_module
from easyrec.errors import BundleError
from easyrec.llm.encoders.encoder import CrossEncoder, Encoder

safetensors = pytest.importorskip("safetensors.numpy")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "man", "eats", "bread", "rain", "falls"]
FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "cls": "pooling_mode_cls_token",
}
D, INNER, HEADS, LAYERS = 8, 12, 2, 2


def tensors_of(kind, rng, prefix="", head=False):
    def draw(*shape):
        return rng.normal(0.0, 0.5, shape).astype(np.float32)

    made = {
        "embeddings.word_embeddings.weight": draw(len(WORDS), D),
        "embeddings.position_embeddings.weight": draw(20, D),
        "embeddings.token_type_embeddings.weight": draw(2 if kind == "bert" else 1, D),
    }
    names = {"embeddings.LayerNorm": (D,)}
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        names |= {f"{layer}attention.self.{part}": (D, D) for part in ("query", "key", "value")}
        names |= {f"{layer}attention.output.dense": (D, D), f"{layer}attention.output.LayerNorm": (D,)}
        names |= {f"{layer}intermediate.dense": (INNER, D), f"{layer}output.dense": (D, INNER)}
        names[f"{layer}output.LayerNorm"] = (D,)
    if head and kind == "bert":
        names["pooler.dense"] = (D, D)
    for name, shape in names.items():
        made |= {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}
    made = {prefix + name: value for name, value in made.items()}
    if head:
        heads = (
            {"classifier": (1, D)} if kind == "bert" else {"classifier.dense": (D, D), "classifier.out_proj": (1, D)}
        )
        for name, shape in heads.items():
            made |= {f"{name}.weight": draw(*shape), f"{name}.bias": draw(shape[0])}
    return made


def folder_of(path, kind, tensors, *, pooling=None, normalised=False):
    path.mkdir(exist_ok=True)
    config = {
        "model_type": kind,
        "hidden_size": D,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "vocab_size": len(WORDS),
        "max_position_embeddings": 20,
        "type_vocab_size": 2 if kind == "bert" else 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 0,
        "architectures": ["Anything"],
    }
    (path / "config.json").write_text(json.dumps(config))
    safetensors.save_file(tensors, path / "model.safetensors")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    if pooling:
        (path / "1_Pooling").mkdir(exist_ok=True)
        (path / "1_Pooling" / "config.json").write_text(json.dumps({FLAGS[pooling]: True}))
    if normalised:
        (path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
    return path


def states_of(tensors, kind, ids, kinds, prefix=""):
    """The formula, for one text."""

    def dense(x, name):
        return x @ tensors[f"{prefix}{name}.weight"].T + tensors[f"{prefix}{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        return scaled * tensors[f"{prefix}{name}.weight"] + tensors[f"{prefix}{name}.bias"]

    first = 0 if kind == "bert" else 1
    tables = {n: tensors[f"{prefix}embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type")}
    x = np.stack([tables["word"][i] + tables["position"][p + first] for p, i in enumerate(ids)]).astype(np.float64)
    x = norm(x + tables["token_type"][kinds if kind == "bert" else [0] * len(ids)], "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        heads = []
        for h in range(HEADS):
            part = slice(h * D // HEADS, (h + 1) * D // HEADS)
            q, k, v = (dense(x, f"{layer}attention.self.{n}")[:, part] for n in ("query", "key", "value"))
            weights = np.exp(q @ k.T / math.sqrt(D // HEADS))
            heads.append(weights / weights.sum(1, keepdims=True) @ v)
        mixed = dense(np.concatenate(heads, 1), f"{layer}attention.output.dense")
        x = norm(x + mixed, f"{layer}attention.output.LayerNorm")
        inner = dense(x, f"{layer}intermediate.dense")
        inner = inner * 0.5 * (1.0 + np.vectorize(math.erf)(inner / math.sqrt(2.0)))
        x = norm(x + dense(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
    return x


TEXTS = ["a man eats bread", "", "rain", "rain falls a man falls", "man unknown words"]


def ids_of(text):
    return [1, *(WORDS.index(w) if w in WORDS else 3 for w in text.split()), 2]


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_vectors_equal_the_formula(tmp_path, kind, pooling):
    tensors = tensors_of(kind, np.random.default_rng(3), prefix="roberta." if kind == "roberta" else "")
    folder = folder_of(tmp_path / "m", kind, tensors, pooling=pooling, normalised=pooling == "mean")
    prefix = "roberta." if kind == "roberta" else ""
    encoder, done = Encoder(folder), []
    made = encoder.encode(TEXTS, done.append)
    assert sum(done) == len(TEXTS)
    for text, vector in zip(TEXTS, made, strict=True):
        states = states_of(tensors, kind, ids_of(text), [0] * len(ids_of(text)), prefix)
        want = {"mean": states.mean(0), "cls": states[0], "max": states.max(0)}[pooling]
        want = want / np.linalg.norm(want) if pooling == "mean" else want
        np.testing.assert_allclose(vector, want, atol=2e-5)
    assert encoder.encode([]).shape == (0, D)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_scores_of_pairs_equal_the_formula(tmp_path, kind):
    prefix = "bert." if kind == "bert" else "roberta."
    tensors = tensors_of(kind, np.random.default_rng(4), prefix, head=True)
    ranker = CrossEncoder(folder_of(tmp_path / "m", kind, tensors))
    made = ranker.score("rain falls", TEXTS)
    for text, score in zip(TEXTS, made, strict=True):
        first, second = ids_of("rain falls"), ids_of(text)[1:]
        kinds = [0] * len(first) + [1] * len(second)
        state = states_of(tensors, kind, first + second, kinds, prefix)[0]
        dense = f"{prefix}pooler.dense" if kind == "bert" else "classifier.dense"
        last = "classifier" if kind == "bert" else "classifier.out_proj"
        hidden = np.tanh(state @ tensors[f"{dense}.weight"].T + tensors[f"{dense}.bias"])
        want = hidden @ tensors[f"{last}.weight"].T + tensors[f"{last}.bias"]
        np.testing.assert_allclose(score, want[0], atol=2e-5)


def test_a_vector_depends_on_its_text_alone(tmp_path):
    folder = folder_of(tmp_path / "m", "bert", tensors_of("bert", np.random.default_rng(5)))
    encoder = Encoder(folder)
    many = encoder.encode(TEXTS * 300)
    np.testing.assert_allclose(many, np.tile(np.concatenate([encoder.encode([t]) for t in TEXTS]), (300, 1)), atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_side_by_side(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(encoder_module, "TOKENS", 8)
    folder_of(tmp_path, "bert", tensors_of("bert", np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS[4:], rng.integers(0, 6))) for _ in range(40)]
    before, told = torch.get_num_threads(), []
    try:
        torch.set_num_threads(threads)
        encoder = Encoder(tmp_path)
        found = encoder.encode(texts, told.append)
        assert sum(told) == 40
        assert len(told) > 10
        assert torch.get_num_threads() == threads
        each = np.concatenate([encoder.encode([text]) for text in texts])
        np.testing.assert_allclose(found, each, rtol=1e-5, atol=1e-6)
        with ThreadPoolExecutor(1) as other:  # threads that begin afterwards have as many as before
            assert other.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)


def test_long_texts_are_cut_and_digests_tell_models_apart(tmp_path):
    folder = folder_of(tmp_path / "m", "bert", tensors_of("bert", np.random.default_rng(6)))
    text = " ".join(["rain"] * 50)
    short = Encoder(folder, longest=8)
    np.testing.assert_allclose(short.encode([text]), short.encode([" ".join(["rain"] * 6)]), atol=1e-6)
    whole = Encoder(folder)
    assert whole.encode([text]).shape == (1, D)
    assert len({short.digest, whole.digest, Encoder(folder, pooling="cls").digest}) == 3
    assert whole.digest == Encoder(folder).digest
    with pytest.raises(BundleError, match="20 tokens"):
        Encoder(folder, longest=21)


def test_half_precision_is_near(tmp_path):
    folder = folder_of(tmp_path / "m", "bert", tensors_of("bert", np.random.default_rng(7)), normalised=True)
    whole, half = Encoder(folder).encode(TEXTS), Encoder(folder, precision="bf16").encode(TEXTS)
    assert (whole * half).sum(1).min() > 0.999


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "is no JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "llama"}'), "model_type"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "model.safetensors cannot be read"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
        (lambda f: safetensors.save_file({"x": np.ones(1, np.float32)}, f / "model.safetensors"), "no transformer"),
    ],
)
def test_folders_that_hold_no_model(tmp_path, break_it, reason):
    folder = folder_of(tmp_path / "m", "bert", tensors_of("bert", np.random.default_rng(8)))
    break_it(folder)
    with pytest.raises(BundleError, match=reason):
        Encoder(folder)


def test_a_folder_that_is_not_there_is_told_with_what_it_should_hold(tmp_path):
    with pytest.raises(
        BundleError, match=r"gone: there is no such folder, .* with config\.json, model\.safetensors and"
    ):
        Encoder(tmp_path / "gone")


def test_tensors_that_are_missing_or_of_another_shape(tmp_path):
    tensors = tensors_of("bert", np.random.default_rng(9))
    name = "encoder.layer.1.output.dense.weight"
    with pytest.raises(BundleError, match=r"output.dense.weight' has the shape \(12, 8\), where \(8, 12\)"):
        Encoder(folder_of(tmp_path / "a", "bert", {**tensors, name: np.ascontiguousarray(tensors[name].T)}))
    with pytest.raises(BundleError, match="has no tensor 'classifier"):
        CrossEncoder(folder_of(tmp_path / "b", "bert", tensors))
