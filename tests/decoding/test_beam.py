import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_transducer import LENGTHS, NumpyTransducer, make_frames, make_parts, run_decoder

from keras_contextnet.decoding import beam_decode, greedy_decode


def reference(frames, parts, width, limit):
    """Beam search of one utterance (T, channels), as one would write it down.

    The beam maps each transcript, a tuple of (token, frame), to its score, the frame to read, the
    tokens of that frame and the predictor's state. Returns the likeliest transcript.
    """
    transducer = NumpyTransducer(*parts)
    beam, ended = {(): (0.0, 0, 0, transducer.start)}, {(): -np.inf}
    while beam and len(frames):
        candidates = {}  # tokens alone: the transcript, its score and where it stands
        for transcript, (score, frame, symbols, state) in beam.items():
            log_probs = score + transducer.log_probs(frames[frame], state)
            tokens = tuple(token for token, _ in transcript)
            steps = {tokens: (transcript, log_probs[transducer.blank], frame + 1, 0, state)}
            for token in set(range(7)) - {transducer.blank} if symbols < limit else ():
                after = transducer.read(token, state)
                longer = (*transcript, (token, frame))
                steps[(*tokens, token)] = longer, log_probs[token], frame, symbols + 1, after
            for tokens, step in steps.items():
                other = candidates.get(tokens)
                if other is not None:
                    assert other[2] == step[2]  # the same frame
                    # Of the two paths, the one that moved on lends its frames.
                    step = other if other[3] == 0 else step
                    score = np.logaddexp(candidates[tokens][1], steps[tokens][1])
                    step = (step[0], score, *step[2:])
                candidates[tokens] = step
        likeliest = sorted(candidates.values(), key=lambda step: -step[1])[:width]
        beam = {transcript: tuple(rest) for transcript, *rest in likeliest}
        ended |= {t: step[0] for t, step in beam.items() if step[1] == len(frames)}
        best = max(ended.values())
        beam = {t: step for t, step in beam.items() if step[1] < len(frames) and step[0] > best}
    return list(max(ended, key=ended.get))


def expected(frames, lengths, parts, width, limit=3):
    rows = zip(frames, lengths, strict=True)
    return [reference(row[:length], parts, width, limit) for row, length in rows]


def decode(frames, lengths, parts, width, **options):
    return run_decoder(beam_decode, frames, lengths, parts, width, **options)


@pytest.mark.parametrize("blank_bias", [0.0, 2.0])
@pytest.mark.parametrize("width", [2, 3, 8])
def test_matches_a_search_in_numpy(width, blank_bias):
    found = []
    for seed in range(3):
        parts, frames = make_parts(seed, blank_bias), make_frames(seed)
        received = decode(frames, LENGTHS, parts, width)
        assert received == expected(frames, LENGTHS, parts, width)
        found.append(received)
    greedy = [
        run_decoder(greedy_decode, make_frames(seed), LENGTHS, make_parts(seed, blank_bias))
        for seed in range(3)
    ]
    assert found != greedy  # there was something to find


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000), blank_bias=st.floats(-5, 5), limit=st.integers(1, 3))
def test_a_beam_of_one_is_greedy(seed, blank_bias, limit):
    parts, frames = make_parts(seed, blank_bias), make_frames(seed)
    options = {"limit": limit, "compiled": False}
    received = decode(frames, LENGTHS, parts, 1, **options)
    assert received == run_decoder(greedy_decode, frames, LENGTHS, parts, **options)


def probability(tokens, frames, transducer, limit):
    """Of a transcript, summed over all ways to spread its tokens over the frames."""
    states = [transducer.start]
    for token in tokens:
        states.append(transducer.read(token, states[-1]))
    total = 0.0
    for counts in itertools.product(range(limit + 1), repeat=len(frames)):
        if sum(counts) != len(tokens):
            continue
        log_prob, place = 0.0, 0
        for frame, count in zip(frames, counts, strict=True):
            for token in tokens[place : place + count]:
                log_prob += transducer.log_probs(frame, states[place])[token]
                place += 1
            log_prob += transducer.log_probs(frame, states[place])[transducer.blank]
        total += np.exp(log_prob)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_likeliest_of_all_transcripts(seed):
    """By probabilities that no search is needed for: those of every transcript."""
    parts, limit = make_parts(seed, 1.0), 1
    frames = np.random.default_rng(seed).normal(size=(1, 3, 4)).astype("float32")
    transducer = NumpyTransducer(*parts)
    tokens = [token for token in range(7) if token != transducer.blank]
    transcripts = [t for n in range(4) for t in itertools.product(tokens, repeat=n)]
    likeliest = max(transcripts, key=lambda t: probability(t, frames[0], transducer, limit))
    received = decode(frames, np.array([3], "int32"), parts, 200, limit=limit)
    assert tuple(token for token, _ in received[0]) == likeliest


@pytest.mark.parametrize("blank_id", [0, 3])
def test_any_blank(blank_id):
    parts, frames = make_parts(3, 1.0, blank_id), make_frames(3)
    received = decode(frames, LENGTHS, parts, 3)
    assert received == expected(frames, LENGTHS, parts, 3)
    assert all(blank_id != token for row in received for token, _ in row)


def test_a_row_alone_and_in_any_batch():
    """Neither the other rows, nor their number, nor the padding matters."""
    parts, frames = make_parts(1, 1.0), make_frames(1)
    together = decode(frames, LENGTHS, parts, 3)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = decode(frames[row : row + 1, :length], LENGTHS[row : row + 1], parts, 3)
            assert alone == [together[row]]
    order = [3, 0, 0, 2, 1, 3, 0]
    assert decode(frames[order], LENGTHS[order], parts, 3) == [together[row] for row in order]
