"""Transcribes audio with an exported .tflite file: pip install ai-edge-litert numpy soundfile

python litert_transcribe.py asr.tflite speech.wav
"""

import json
import sys
import zipfile

import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter

model, speech = sys.argv[1:]
with zipfile.ZipFile(model) as files:  # a .tflite file with the vocabulary in a zip at its end
    pieces = files.read("tokens.txt").decode("utf-8").split("\n")
    sample_rate = json.loads(files.read("metadata.json"))["sample_rate"]

audio, rate = soundfile.read(speech, dtype="float32", always_2d=True)  # (samples, channels)
if rate != sample_rate:
    sys.exit(f"Expected {sample_rate} Hz. Received: {speech} of {rate} Hz. Resample it first.")
audio = audio.mean(axis=1)[np.newaxis]  # (1, samples)

transcribe = Interpreter(model).get_signature_runner("transcribe")
outputs = transcribe(audio=audio, audio_length=np.array([audio.shape[1]], np.int32))
tokens = outputs["tokens"][0, : outputs["token_length"][0]]
print("".join(pieces[token] for token in tokens).replace("▁", " ").strip())
