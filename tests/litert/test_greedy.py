import numpy as np
import pytest

from keras_contextnet.litert.greedy import GreedyDecoder

METADATA = {"blank_id": 3, "max_symbols_per_frame": 2, "state_size": 1}


def predict(token, state):
    """The state counts tokens; the prediction says which was the last."""
    return {"prediction": np.eye(4, dtype="float32")[token], "next_state": state + (token != 3)}


def join_for(table):
    """A joiner: frames are rows of one number, an index of `table`, which maps the last token."""

    def join(frame, prediction):
        row = table[int(frame[0, 0])]
        return {"logits": np.eye(4, dtype="float32")[[row[int(prediction[0].argmax())]]]}

    return join


def decode(table, frames, context=None, first=0):
    decoder = GreedyDecoder(predict, join_for(table), METADATA)
    frames = np.array(frames, "float32")[:, np.newaxis]
    return list(decoder.decode(frames, context or decoder.start(), first))


# What a frame emits after the tokens 0, 1, 2 and at the start (3); 3 is the blank.
TABLE = [[3, 3, 3, 0], [1, 3, 3, 3], [1, 2, 3, 3], [0, 0, 0, 0]]


def test_tokens_their_frames_and_the_blank():
    emissions = decode(TABLE, [1, 0, 0, 1, 1])
    assert [(e.token, e.frame) for e in emissions] == [(0, 1), (1, 3)]
    assert emissions[-1].context.state.tolist() == [[2.0]]


def test_a_frame_emits_several_tokens_up_to_the_cap():
    assert [(e.token, e.frame) for e in decode(TABLE, [0, 2, 3, 3])] == [
        (0, 0), (1, 1), (2, 1), (0, 2), (0, 2), (0, 3), (0, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", range(5))
def test_goes_on_from_a_context(cut):
    frames = [0, 2, 3, 1]
    front = decode(TABLE, frames[:cut])
    back = decode(TABLE, frames[cut:], front[-1].context if front else None, cut)
    both = [(e.token, e.frame) for e in front + back]
    assert both == [(e.token, e.frame) for e in decode(TABLE, frames)]
