import io
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from feature_generator.text.tokenizer import read_tokenizer, tokenize

SENTENCES = ["the quick brown fox jumps over the lazy dog", "red shoes and blue dresses", "红色 连衣裙", "abc efg 123"]
TINY = (Path(__file__).parents[2] / "golden" / "assets" / "tiny_tokenizer.json").read_bytes()


@pytest.fixture(scope="module")
def bpe():
    """A small BPE tokenizer as its JSON."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(SENTENCES, trainer)
    return made.to_str()


@pytest.fixture(scope="module")
def sentencepiece_model():
    """A small unigram model of SentencePiece."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=model,
        vocab_size=70,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    return model.getvalue()


def rows(texts, tokenizer):
    offsets, ids = tokenize(pa.array(texts, pa.large_string()), tokenizer)
    return [ids[a:b].tolist() for a, b in pairwise(offsets)]


def test_a_word_level_file_by_hand():
    tokenizer = read_tokenizer(TINY, "bpe")
    assert tokenizer.size == 6
    assert rows(["red dress", "", "green shoe", "red  blue"], tokenizer) == [[2, 3], [], [0, 4], [2, 5]]


@given(st.lists(st.text(max_size=12), max_size=6))
def test_an_array_becomes_what_each_text_becomes(bpe, sentencepiece_model, texts):
    single = tokenizers.Tokenizer.from_str(bpe)
    wanted = [single.encode(text, add_special_tokens=False).ids for text in texts]
    assert rows(texts, read_tokenizer(bpe.encode(), "bpe")) == wanted
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model)
    assert rows(texts, read_tokenizer(sentencepiece_model, "sentencepiece")) == [processor.encode(t) for t in texts]


def test_ids_spell_the_text_and_hold_no_marks_of_its_ends(bpe, sentencepiece_model):
    text = "the red fox"
    (ids,) = rows([text], read_tokenizer(bpe.encode(), "bpe"))
    assert len(tokenizers.Tokenizer.from_str(bpe).encode(text).ids) == len(ids) + 2
    assert not {0, 1} & set(ids)
    (ids,) = rows([text], read_tokenizer(sentencepiece_model, "sentencepiece"))
    assert sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model).decode(ids) == text


def test_neither_padding_nor_truncation_nor_dropout_of_the_file_count(bpe):
    plain = rows(["the quick brown fox", "a"], read_tokenizer(bpe.encode(), "bpe"))
    data = json.loads(bpe)
    data["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<s>",
    }
    data["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    data["model"]["dropout"] = 0.9
    changed = read_tokenizer(json.dumps(data).encode(), "bpe")
    for _ in range(5):
        assert rows(["the quick brown fox", "a"], changed) == plain


def test_every_id_lies_below_the_size(bpe, sentencepiece_model):
    hole = json.loads(TINY)
    hole["model"]["vocab"] = {"<unk>": 0, "red": 9}
    tokenizer = read_tokenizer(json.dumps(hole).encode(), "bpe")
    assert tokenizer.size == 10
    assert rows(["red x"], tokenizer) == [[9, 0]]
    assert read_tokenizer(bpe.encode(), "bpe").size == tokenizers.Tokenizer.from_str(bpe).get_vocab_size()
    assert read_tokenizer(sentencepiece_model, "sentencepiece").size > max(
        i for row in rows(SENTENCES, read_tokenizer(sentencepiece_model, "sentencepiece")) for i in row
    )


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"{}", "bpe", r"is no tokenizer\.json of HuggingFace tokenizers: Model missing"),
        (b"\xff\x00", "bpe", r"is no tokenizer\.json"),
        (b"", "bpe", r"is no tokenizer\.json"),
        (TINY, "sentencepiece", "is no model of SentencePiece"),
        (b"", "sentencepiece", "is no model of SentencePiece: it has no pieces"),
    ],
    ids=["empty-object", "binary", "empty", "json-as-model", "empty-model"],
)
def test_another_file_is_refused(content, kind, words):
    with pytest.raises(ValueError, match=words):
        read_tokenizer(content, kind)


def test_a_huge_file_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr("feature_generator.text.tokenizer.LARGEST", 10)
    with pytest.raises(ValueError, match="a tokenizer file may have 10"):
        read_tokenizer(TINY, "bpe")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_goes_on_in_silence(bpe, tmp_path):
    (tmp_path / "tokenizer.json").write_text(bpe)
    code = (
        "import os, pathlib, pyarrow as pa\n"
        "from feature_generator.text.tokenizer import read_tokenizer, tokenize\n"
        f"tokenizer = read_tokenizer(pathlib.Path({str(tmp_path / 'tokenizer.json')!r}).read_bytes(), 'bpe')\n"
        "texts = pa.array(['the quick brown fox'] * 2000)\n"
        "before = tokenize(texts, tokenizer)[1].sum()\n"
        "child = os.fork()\n"
        "after = tokenize(texts, tokenizer)[1].sum()\n"
        "if child == 0: os._exit(0 if after == before else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
