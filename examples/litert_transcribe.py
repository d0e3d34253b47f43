"""Transcribes a recording with an exported .tflite file, without Keras and TensorFlow.

pip install --no-deps keras-contextnet && pip install numpy ai-edge-litert
python litert_transcribe.py asr.tflite speech.wav
"""

import sys

from keras_contextnet.litert import Transcriber

model, speech = sys.argv[1:]
try:
    print(Transcriber(model).transcribe(speech).text)
except (ValueError, ImportError) as error:
    sys.exit(str(error))
