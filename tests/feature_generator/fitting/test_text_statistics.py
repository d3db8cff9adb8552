"""`TextStatistics` against sets and sums."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from feature_generator.fitting.text_statistics import TextStatistics
from feature_generator.fitting.word_counts import WordCounts

TEXTS = st.lists(st.lists(st.sampled_from("abcdé"), max_size=6), max_size=12)


def statistics(texts):
    found = TextStatistics(WordCounts())
    lists = pa.array(texts, pa.large_list(pa.large_string()))
    found.add(lists.offsets.to_numpy(), lists.values)
    return found


@given(TEXTS, TEXTS)
def test_merged_counts_are_those_of_all_texts(first, second):
    found = statistics(first)
    found.merge(statistics(second))
    texts = [text for text in first + second if text]
    held = Counter(word for text in texts for word in set(text))
    table = found.words.top()
    assert dict(zip(table["word"].to_pylist(), table["count"].to_pylist(), strict=True)) == held
    assert found.doc_count == len(texts)
    assert found.total_length == sum(map(len, texts))
    if texts:
        assert found.avg_length == np.mean([len(text) for text in texts])
