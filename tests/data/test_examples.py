from keras_contextnet.data import audio_duration, example_utterances


def test_every_recording_is_there_with_its_text():
    utterances = example_utterances()
    assert len({utterance.id for utterance in utterances}) == 10
    for utterance in utterances:
        assert 2 < audio_duration(utterance.audio) < 6
        assert utterance.text


def test_their_licence_is_beside_them():
    readme = (example_utterances()[0].audio.parent / "README.md").read_text(encoding="utf-8")
    assert "Creative Commons" in readme
