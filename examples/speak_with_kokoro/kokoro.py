"""Kokoro-82M: from a sentence and a blend of voices to its decoder's output, or a waveform."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pronunciation import draw_tempo, pronounce_otherwise

SAMPLE_RATE = 24000
# Samples of a frame of what leaves the decoder.
HOP = 300
# How much of a voice (256,) is timbre, which the generator reads; the rest is prosody.
TIMBRE = 128
# Of a voice's timbre from the mean. Before it had heard such voices, small_en made 16% errors at 1,
# 24% at 1.8 and 38% at 2.5.
DISTANCES = (0.8, 1.9)
HIDDEN = "/decoder/decoder/decode.3/Div_4_output_0"
PITCH = "/encoder/Squeeze_output_0"
ENERGY = "/encoder/Squeeze_1_output_0"


@dataclass(frozen=True)
class Decoded:
    """What Kokoro's generator turns into a waveform, at 80 frames a second.

    Args:
        hidden: array (frames, 512).
        pitch: array (frames,), Hz.
        energy: array (frames,).
        style: array (128,), the part of the voice that the generator reads.
    """

    hidden: np.ndarray
    pitch: np.ndarray
    energy: np.ndarray
    style: np.ndarray


@dataclass(frozen=True)
class Voice:
    """A blend of Kokoro's voices, whose timbre may be more or less unlike all of theirs.

    Args:
        timbre: each voice's part in the timbre, together 1.
        prosody: each voice's part in rhythm and intonation, together 1.
        distance: float. How far the timbre is from the mean of all voices, as a multiple of how far
            the blend's is: 1 is the blend itself, more a caricature of it.
    """

    timbre: dict[str, float]
    prosody: dict[str, float]
    distance: float = 1.0

    @property
    def name(self) -> str:
        """The names of the voices in it."""
        return "+".join(self.timbre)


class Kokoro:
    """The speaker of one process, on one core.

    The generator, which makes the waveform, takes over nine tenths of the time. `decode` stops
    before it.

    Args:
        model: the ONNX file.
        voices: folder of `*.bin`, float32 (510, 1, 256).
        folder: where to keep the model as it is cut in two.
    """

    def __init__(self, model: Path, voices: Path, folder: Path):
        from kokoro_onnx.tokenizer import Tokenizer

        self._tokenizer = Tokenizer()
        self.voices = {
            path.stem: np.fromfile(path, np.float32).reshape(-1, 256)
            for path in sorted(voices.glob("*.bin"))
        }
        if not self.voices:
            raise FileNotFoundError(f"Expected voices (*.bin) in {voices}. Received: none")
        self._mean = np.mean(list(self.voices.values()), axis=0)  # (510, 256)
        self._english = [name for name in self.voices if name[0] in "ab"]
        self._model, self._folder = model, folder
        self._sessions: dict[str, object] = {}

    def speaker(self, generator: np.random.Generator) -> Voice:
        """Draws a timbre, a prosody, which another may have, and the distance."""
        return Voice(self._blend(generator), self._blend(generator), generator.uniform(*DISTANCES))

    def _blend(self, generator: np.random.Generator) -> dict[str, float]:
        """Draws one to three voices, most of them English, and their shares."""
        count = generator.choice([1, 2, 2, 2, 3])
        everyone = list(self.voices)
        names = [
            str(generator.choice(self._english if generator.random() < 0.6 else everyone))
            for _ in range(count)
        ]
        shares = generator.dirichlet(np.full(count, 1.5))
        blend = dict.fromkeys(names, 0.0)
        for name, share in zip(names, shares, strict=True):
            blend[name] += float(share)
        return blend

    def style(self, voice: Voice, length: int) -> np.ndarray:
        """Returns (256,), for a number of tokens: timbre, moved from the mean, and prosody."""
        timbre, prosody = (
            sum(share * self.voices[name][length] for name, share in shares.items())
            for shares in (voice.timbre, voice.prosody)
        )
        mean = self._mean[length]
        moved = mean + voice.distance * (timbre - mean)
        return np.concatenate([moved[:TIMBRE], prosody[TIMBRE:]])

    def decode(self, text: str, voice: Voice, generator: np.random.Generator) -> Decoded | None:
        """Says a sentence as far as the decoder; None where it is too long or has no sound."""
        inputs = self._inputs(text, voice, generator)
        if inputs is None:
            return None
        return self._decoded(inputs, self._session("decoder").run([HIDDEN, PITCH, ENERGY], inputs))

    def speak(self, text: str, voice: Voice, generator: np.random.Generator):
        """Returns what `decode` does, and the waveform (samples,) that Kokoro makes of it."""
        inputs = self._inputs(text, voice, generator)
        if inputs is None:
            return None
        names = ["audio", HIDDEN, PITCH, ENERGY]
        waveform, *decoded = self._session("whole").run(names, inputs)
        return self._decoded(inputs, decoded), waveform.reshape(-1)

    def _inputs(self, text: str, voice: Voice, generator: np.random.Generator):
        loudest = max(voice.timbre, key=voice.timbre.__getitem__)
        accent = "en-gb" if loudest[0] == "b" else "en-us"
        phonemes = self._tokenizer.phonemize(text, accent)
        tokens = self._tokenizer.tokenize(pronounce_otherwise(phonemes, generator))
        if not 3 <= len(tokens) <= 400:
            return None
        return {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self.style(voice, len(tokens))[None].astype(np.float32),
            "speed": draw_tempo(2 + len(tokens), generator),
        }

    def _decoded(self, inputs: dict[str, np.ndarray], outputs: list[np.ndarray]) -> Decoded:
        hidden, pitch, energy = (output[0] for output in outputs)
        return Decoded(hidden.T, pitch, energy, inputs["style"][0, :TIMBRE])

    def _session(self, part: str):
        """Opens the model with its inner outputs, whole or up to the decoder."""
        import onnx
        import onnxruntime

        if part not in self._sessions:
            model = onnx.load(self._model)
            # The graph's speed is of a shape (1,), but a speed for each token does as well.
            speed = next(place for place in model.graph.input if place.name == "speed")
            speed.type.tensor_type.shape.dim[0].dim_param = "tokens"
            wanted = [HIDDEN, PITCH, ENERGY]
            if part == "decoder":
                inputs = ["tokens", "style", "speed"]
                model = onnx.utils.Extractor(model).extract_model(inputs, wanted)
            else:
                for name in wanted:
                    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
            path = self._folder / f"kokoro_{part}.onnx"
            onnx.save(model, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._sessions[part] = onnxruntime.InferenceSession(str(path), options)
        return self._sessions[part]
