import numpy as np

import keras_contextnet as kc
from keras_contextnet.data import EpochPlan, Utterance, dataset_from_plan
from keras_contextnet.training import train


def test_broken_recordings_are_counted_and_named(make_compiled, tmp_path):
    import soundfile

    rng, utterances = np.random.default_rng(0), []
    for name in ("good", "better", "broken", "long"):
        path = tmp_path / f"{name}.wav"
        seconds = 2.0 if name == "long" else 0.5
        soundfile.write(path, 0.1 * rng.normal(size=int(16000 * seconds)), 16000)
        utterances.append(Utterance(name, path, "a text", seconds))
    (tmp_path / "broken.wav").write_bytes(b"RIFF, and then nothing")

    model = make_compiled()
    plan = EpochPlan(utterances, model.tokenizer, batch_size=2, on_error="skip", max_duration=1.0)
    history = train(
        model,
        lambda *start: dataset_from_plan(plan, start=start, repeat=True),
        tmp_path / "run",
        epochs=2,
        plan=plan,
        verbose=0,
    )
    assert history.history["left_out"] == [2, 2]
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("Left out broken. ") == log.count("Left out long. ") == 1
    assert "max_duration=1" in log
    assert kc.ContextNet.from_preset(tmp_path / "run" / "preset").built
