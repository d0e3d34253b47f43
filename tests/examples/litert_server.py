"""Runs a .tflite file for the Java stub of LiteRT: tensors in on stdin, tensors out on stdout."""

import struct
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

requests, replies = sys.stdin.buffer, sys.stdout.buffer


def read_int() -> int:
    return struct.unpack(">i", requests.read(4))[0]


def read_text() -> str:
    (length,) = struct.unpack(">H", requests.read(2))
    return requests.read(length).decode()


def read_array() -> np.ndarray:
    dtype = np.dtype(read_text())
    shape = [read_int() for _ in range(read_int())]
    data = requests.read(4 * int(np.prod(shape)))
    return np.frombuffer(data, dtype.newbyteorder(">")).astype(dtype).reshape(shape)


def write_array(name: str, array: np.ndarray) -> None:
    encoded = name.encode()
    replies.write(struct.pack(">H", len(encoded)) + encoded)
    replies.write(struct.pack(f">{array.ndim + 1}i", array.ndim, *array.shape))
    replies.write(array.astype(array.dtype.newbyteorder(">")).tobytes())


interpreter = Interpreter(sys.argv[1])
while requests.peek(1):
    runner = interpreter.get_signature_runner(read_text())
    outputs = runner(**{read_text(): read_array() for _ in range(read_int())})
    replies.write(struct.pack(">i", len(outputs)))
    for name, array in outputs.items():
        write_array(name, array)
    replies.flush()
