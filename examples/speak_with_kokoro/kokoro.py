"""Kokoro-82M: from a sentence and a blend of voices to its decoder's output, or a waveform."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLE_RATE = 24000
# Samples of a frame of what leaves the decoder.
HOP = 300
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
        self._english = [name for name in self.voices if name[0] in "ab"]
        self._model, self._folder = model, folder
        self._sessions: dict[str, object] = {}

    def speaker(self, generator: np.random.Generator) -> dict[str, float]:
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

    def decode(self, text: str, blend: dict[str, float], speed: float) -> Decoded | None:
        """Says a sentence as far as the decoder; None where it is too long or has no sound."""
        inputs = self._inputs(text, blend, speed)
        if inputs is None:
            return None
        return self._decoded(inputs, self._session("decoder").run([HIDDEN, PITCH, ENERGY], inputs))

    def speak(self, text: str, blend: dict[str, float], speed: float):
        """Returns what `decode` does, and the waveform (samples,) that Kokoro makes of it."""
        inputs = self._inputs(text, blend, speed)
        if inputs is None:
            return None
        names = ["audio", HIDDEN, PITCH, ENERGY]
        waveform, *decoded = self._session("whole").run(names, inputs)
        return self._decoded(inputs, decoded), waveform.reshape(-1)

    def _inputs(self, text: str, blend: dict[str, float], speed: float):
        loudest = max(blend, key=blend.__getitem__)
        accent = "en-gb" if loudest[0] == "b" else "en-us"
        tokens = self._tokenizer.tokenize(self._tokenizer.phonemize(text, accent))
        if not 3 <= len(tokens) <= 400:
            return None
        style = sum(share * self.voices[name][len(tokens)] for name, share in blend.items())
        return {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[None].astype(np.float32),
            "speed": np.array([speed], np.float32),
        }

    def _decoded(self, inputs: dict[str, np.ndarray], outputs: list[np.ndarray]) -> Decoded:
        hidden, pitch, energy = (output[0] for output in outputs)
        return Decoded(hidden.T, pitch, energy, inputs["style"][0, :128])

    def _session(self, part: str):
        """Opens the model with its inner outputs, whole or up to the decoder."""
        import onnx
        import onnxruntime

        if part not in self._sessions:
            path = self._folder / f"kokoro_{part}.onnx"
            if part == "decoder":
                wanted = [HIDDEN, PITCH, ENERGY]
                inputs = ["tokens", "style", "speed"]
                onnx.utils.extract_model(self._model, path, inputs, wanted, check_model=False)
            else:
                model = onnx.load(self._model)
                for name in (HIDDEN, PITCH, ENERGY):
                    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
                onnx.save(model, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._sessions[part] = onnxruntime.InferenceSession(str(path), options)
        return self._sessions[part]
