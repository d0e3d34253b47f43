import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.error_counts import character_errors, word_errors


def edit_distance(reference, hypothesis):
    """The reference: Levenshtein's table."""
    table = np.add.outer(np.arange(len(reference) + 1), np.arange(len(hypothesis) + 1))
    for i, r in enumerate(reference, 1):
        for j, h in enumerate(hypothesis, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (r != h)
            )
    return table[-1, -1]


def test_each_kind_of_error_is_counted():
    counts = word_errors(["the cat sat on the mat", "yes"], ["the hat sat on mat", "oh yes"])
    first, second = counts.utterances
    assert (first.hits, first.substitutions, first.deletions, first.insertions) == (4, 1, 1, 0)
    assert (second.hits, second.substitutions, second.deletions, second.insertions) == (1, 0, 0, 1)
    assert (counts.hits, counts.substitutions, counts.deletions, counts.insertions) == (5, 1, 1, 1)
    assert (counts.errors, counts.length, counts.rate) == (3, 7, 3 / 7)
    assert (first.reference, first.hypothesis) == ("the cat sat on the mat", "the hat sat on mat")


@pytest.mark.parametrize("count", [word_errors, character_errors])
def test_empty_references_take_insertions(count):
    counts = count(["", "a b", "", " "], ["x y", "a b", "", "z"])
    assert [row.insertions for row in counts.utterances] == [
        2 + (count is character_errors),
        0,
        0,
        1,
    ]
    assert counts.utterances[0].rate == float("inf")
    assert counts.utterances[2].rate == 0


def test_nothing_said():
    assert word_errors([], []).rate == 0
    assert word_errors([""], [""]).rate == 0
    assert word_errors([""], ["a"]).rate == float("inf")


def test_spaces_are_characters_and_runs_of_them_one():
    counts = character_errors(["a  b"], [" ab "])
    assert (counts.deletions, counts.hits, counts.length) == (1, 2, 3)


words = st.lists(st.sampled_from(["a", "b", "ab", "été", "東"]), max_size=7)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_errors_are_the_edit_distance(pairs):
    references = [" ".join(r) for r, _ in pairs]
    hypotheses = [" ".join(h) for _, h in pairs]
    for row, (r, h) in zip(word_errors(references, hypotheses).utterances, pairs, strict=True):
        assert row.errors == edit_distance(r, h)
        assert row.length == len(r)
    rows = character_errors(references, hypotheses).utterances
    for row, r, h in zip(rows, references, hypotheses, strict=True):
        assert row.errors == edit_distance(r, h)
        assert row.length == len(r)


def test_unequal_counts_are_an_error():
    with pytest.raises(ValueError, match="1 references, 2 hypotheses"):
        word_errors(["a"], ["a", "b"])
