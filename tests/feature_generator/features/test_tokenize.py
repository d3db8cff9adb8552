import io
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, FeatureGenerator

TINY = Path(__file__).parents[2] / "golden" / "assets" / "tiny_tokenizer.json"
BASE = {"type": "tokenize", "name": "f", "expression": "item:c", "vocab_file": str(TINY)}
TOKENS = {"tokens_as_sequence": True, "sequence_length": 2}
WORDS = ["red", "shoe", "Blue", "dress", "?", "\x1d", ";", "|", " ", ""]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
SENTENCES = ["the quick brown fox jumps over the lazy dog", "red shoes and blue dresses", "abc efg 123"]


def ids(generator, *texts):
    made = generator.transform({"c": pa.array(texts, pa.string())})["f"]
    return [part.tolist() for part in np.split(made.values, np.cumsum(made.lengths)[:-1])]


@given(st.data())
@settings(max_examples=3 * settings.default.max_examples)
def test_compiled_equals_reference_in_every_shape(kit, data):
    config = BASE | {
        "value_dim": data.draw(st.sampled_from([None, 0, 1])),
        "default_value": data.draw(st.sampled_from(["", "red blue shoe"])),
        "separator": data.draw(st.sampled_from(["\x1d", "|"])),
    }
    if data.draw(st.booleans()):
        config["text_normalizer"] = {"norm_options": ["TEXT_UPPER2LOWER"], "max_length": data.draw(st.integers(1, 9))}
    shape = data.draw(st.sampled_from(["plain", "tokens", "simple", "group"]))
    if shape == "tokens":
        sequence = data.draw(kit.sequences)
        del config["value_dim"]
        config |= {key: sequence[key] for key in ("sequence_length", "truncate", "empty")} | {
            "tokens_as_sequence": True
        }
    if shape == "simple":
        config |= data.draw(kit.sequences)
    if shape == "group":
        config = {"type": "sequence", "name": "s", "features": [config], **data.draw(kit.sequences)}
    texts = st.lists(st.none() | TEXTS, max_size=40).map(lambda cells: pa.array(cells, pa.string()))
    kinds = kit.plain if shape in ("plain", "tokens") else kit.plain | kit.nested
    column = data.draw(texts | kit.arrays(kinds, data.draw(st.integers(0, 40))))
    columns = {"s__c" if shape == "group" else "c": column}
    generator = kit.load([config])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@pytest.mark.parametrize("shape", [{}, {"sequence_length": 3}, TOKENS], ids=["plain", "sequence", "tokens"])
def test_ten_thousand_texts_in_blocks_and_on_threads(kit, shape):
    draw = random.Random(7)
    texts = pa.array([" ".join(draw.choices(WORDS, k=draw.randrange(9))) for _ in range(10_000)])
    generator = kit.load([BASE | {"default_value": "shoe"} | shape])
    table = generator.transform({"c": texts}, threads=2)
    kit.compare(generator, {"c": texts}, table)
    kit.equal(table, generator.transform({"c": texts}))


def test_tokens_by_hand(kit):
    generator = kit.load([BASE])
    assert ids(generator, "red dress", None, "", "x shoe", "blue\x1dred red") == [[2, 3], [], [], [0, 4], [5, 2, 2]]
    assert generator.outputs["f"].num_embeddings == 6


def test_the_default_is_tokenized_but_not_normalised(kit):
    generator = kit.load([BASE | {"default_value": "red Red", "text_normalizer": {"norm_options": 4}}])
    assert ids(generator, None, "Red", " ") == [[2, 0], [2], [2, 0]]


def test_the_tokens_of_a_text_are_the_elements_of_a_sequence(kit):
    newest = kit.load([BASE | TOKENS])
    made = newest.transform({"c": pa.array(["red blue dress", "shoe", None])})["f"]
    assert (made.values.tolist(), made.lengths.tolist(), made.key_lengths.tolist()) == ([5, 3, 4], [2, 1, 0], [1, 1, 1])
    assert newest.outputs["f"].kind == "sparse_sequence"
    assert newest.outputs["f"].sequence == "f"
    assert ids(kit.load([BASE | TOKENS | {"truncate": "oldest"}]), "red blue dress", "x") == [[2, 5], [0]]
    assert ids(kit.load([BASE | TOKENS | {"default_value": "red shoe shoe"}]), "", "red") == [[4, 4], [2]]
    assert ids(kit.load([BASE | TOKENS | {"empty": "default"}]), "", "red") == [[0], [2]]  # the token of "0"


def test_encoded_tokens_are_elements_too(kit):
    generator = FeatureGenerator.load({"features": [BASE | TOKENS]}, mode="encoded")
    for column in (pa.array(["1\x032", "", None, "3"]), pa.array([[1, 2], [], None, [3]])):
        made = generator.transform({"f": column})["f"]
        assert made.values.tolist() == [1, 2, 3]
        assert made.lengths.tolist() == [2, 0, 0, 1]
        assert made.key_lengths.tolist() == [1, 1, 1]


def test_a_request_equals_the_same_rows_flat(kit):
    generator = kit.load([BASE | {"expression": "user:q", "name": "u"}, BASE | TOKENS])
    table = generator.request({"q": "red shoe"}).score_items({"c": pa.array(["blue", "red red red"])}, tile=True)
    kit.equal(table, generator.transform({"q": pa.array(["red shoe"] * 2), "c": pa.array(["blue", "red red red"])}))


def test_a_sentencepiece_model_gives_its_own_ids(kit, tmp_path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    config = BASE | {"vocab_file": str(tmp_path / "spiece.model"), "tokenizer_type": "sentencepiece"}
    generator = kit.load([config | {"default_value": "xyz"}])
    texts = ["abc efg", "", "the red fox"]
    assert ids(generator, *texts) == [processor.encode(text or "xyz") for text in texts]
    assert generator.outputs["f"].num_embeddings == processor.vocab_size()


def test_the_tokenizer_belongs_to_the_generator(kit, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(TINY.read_bytes())
    (tmp_path / "stops").write_text("#")
    normalizer = {"norm_options": 0, "stop_char_file": str(tmp_path / "stops")}
    config = BASE | {"vocab_file": str(path), "text_normalizer": normalizer}
    generator = kit.load([config, BASE | {"name": "g"}])
    generator.save(tmp_path / "saved")
    before = generator.fingerprint
    changed = json.loads(TINY.read_text())
    changed["model"]["vocab"]["red"], changed["model"]["vocab"]["shoe"] = 4, 2
    path.write_text(json.dumps(changed))
    again = FeatureGenerator.load(tmp_path / "saved")
    assert again.fingerprint == before != kit.load([config, BASE | {"name": "g"}]).fingerprint
    assert ids(again, "r#ed") == [[2]]
    assert ids(kit.load([config]), "r#ed") == [[4]]


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ({"vocab_file": "nowhere.json"}, "vocab_file", "cannot read 'nowhere.json': No such file"),
        ({"tokenizer_type": "sentencepiece"}, "vocab_file", r"tiny_tokenizer\.json' is no model of SentencePiece"),
        ({"tokenizer_type": "wordpiece"}, "tokenizer_type", "'bpe' or 'sentencepiece'|bpe, sentencepiece"),
        ({"tokens_as_sequence": True}, "tokens_as_sequence", "needs sequence_length"),
        (TOKENS | {"order": "newest_first"}, "order", "does not go with tokens_as_sequence"),
        ({"text_normalizer": {"stop_char_file": "no.txt"}}, "stop_char_file", "cannot read 'no.txt'"),
        ({"text_normalizer": {"norm_options": 6}}, "norm_options", "contradict"),
        ({"hash_bucket_size": 5}, "hash_bucket_size", "unknown key"),
        ({"value_dim": 2}, "value_dim", "less than or equal to 1"),
    ],
)
def test_a_wrong_config_is_told_at_load(kit, config, key, message):
    with pytest.raises(ConfigError, match=message) as caught:
        kit.load([BASE | config])
    assert len(caught.value.problems) == 1
    assert key in caught.value.problems[0].where


def test_the_tokens_of_a_child_cannot_be_a_sequence_of_their_own(kit):
    with pytest.raises(ConfigError, match="cannot stand in a sequence"):
        kit.load([{"type": "sequence", "name": "s", "features": [BASE | {"tokens_as_sequence": True}]}])


def test_features_of_one_file_share_its_tokenizer(kit):
    generator = kit.load([BASE, BASE | {"name": "g"}])
    first, second = (generator.outputs[name].config for name in ("f", "g"))
    assert first._tokenizer is second._tokenizer is not None
