"""Writes `.nemo` files without NeMo and without PyTorch, whole and broken ones alike."""

import io
import struct
import tarfile
import zipfile

import numpy as np
import yaml

_STORAGES = {"f4": "FloatStorage", "f2": "HalfStorage", "f8": "DoubleStorage", "i8": "LongStorage"}


def torch_zip(tensors, pickled=None, compression=zipfile.ZIP_STORED, byte_order="little"):
    """The bytes that torch.save writes for a dictionary of tensors.

    Arrays of uint16 are written as bfloat16. `pickled` takes the place of the pickle.
    """
    order = {"little": "<", "big": ">"}[byte_order]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("weights/data.pkl", _pickle(tensors) if pickled is None else pickled)
        archive.writestr("weights/byteorder", byte_order)
        for key, array in enumerate(tensors.values()):
            data = np.ascontiguousarray(array, array.dtype.newbyteorder(order)).tobytes()
            archive.writestr(f"weights/data/{key}", data)
    return buffer.getvalue()


def nemo_bytes(files, mode="w:", prefix="./"):
    """A tar archive of files, by name, with the folder entry that NeMo's have."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        if prefix:
            folder = tarfile.TarInfo(".")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def published_config(width, vocabulary):
    """The settings of NVIDIA's published English models, `width` being 256, 512 or 1024."""
    block = {"kernel": [5], "stride": [1], "dilation": [1], "separable": True, "se": True}
    jasper = []
    for index in range(23):
        middle = 0 < index < 22
        entry = {
            **block,
            "filters": width if index < 22 else 640,
            "repeat": 5 if middle else 1,
            "residual": middle,
            "dropout": 0.1 if middle else 0.0,
        }
        if index in (3, 7, 14):
            entry.update(stride=[2], stride_last=True, residual_mode="stride_add")
        jasper.append(entry)
    return {
        "labels": vocabulary,
        "nemo_version": "1.0.0",
        "preprocessor": {"window_size": 0.025, "features": 80, "n_fft": 512},
        "encoder": {"feat_in": 80, "activation": "swish", "jasper": jasper},
        "decoder": {
            "vocab_size": len(vocabulary),
            "prednet": {"pred_hidden": 640, "pred_rnn_layers": 1},
        },
        "joint": {
            "num_classes": len(vocabulary),
            "jointnet": {"joint_hidden": 640, "activation": "relu", "dropout": 0.1},
        },
    }


def random_tensors(config, seed=0):
    """Random weights for settings made by `published_config`."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.uniform(-1, 1, shape) * shape[-1] ** -0.5).astype("f4")
        if not name.endswith("running_var")
        else np.ones(shape, "f4")
        for name, shape in _shapes(config)
    }


def published_nemo(width, vocabulary):
    """A file of the size of a published one, with random weights."""
    config = published_config(width, vocabulary)
    return nemo_bytes(
        {
            "model_config.yaml": yaml.safe_dump(config).encode(),
            "model_weights.ckpt": torch_zip(random_tensors(config)),
        }
    )


def _shapes(config):
    channels = 80
    for index, block in enumerate(config["encoder"]["jasper"]):
        filters, before = block["filters"], channels
        modules = f"encoder.encoder.{index}.mconv"
        for conv in range(0, 5 * block["repeat"], 5):
            yield f"{modules}.{conv}.conv.weight", (channels, 1, 5)
            yield f"{modules}.{conv + 1}.conv.weight", (filters, channels, 1)
            yield from _batch_norm_shapes(f"{modules}.{conv + 2}", filters)
            channels = filters
        yield f"{modules}.{conv + 3}.fc.0.weight", (filters // 8, filters)
        yield f"{modules}.{conv + 3}.fc.2.weight", (filters, filters // 8)
        if block["residual"]:
            yield f"encoder.encoder.{index}.res.0.0.conv.weight", (filters, before, 1)
            yield from _batch_norm_shapes(f"encoder.encoder.{index}.res.0.1", filters)
    units, outputs = 640, config["decoder"]["vocab_size"] + 1
    yield "decoder.prediction.embed.weight", (outputs, units)
    for name in ("ih", "hh"):
        yield f"decoder.prediction.dec_rnn.lstm.weight_{name}_l0", (4 * units, units)
        yield f"decoder.prediction.dec_rnn.lstm.bias_{name}_l0", (4 * units,)
    for name, shape in (
        ("enc", (units, channels)),
        ("pred", (units, units)),
        ("joint_net.2", (outputs, units)),
    ):
        yield f"joint.{name}.weight", shape
        yield f"joint.{name}.bias", shape[:1]


def _batch_norm_shapes(module, filters):
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{module}.{name}", (filters,)


def _pickle(tensors):
    """The pickle that describes tensors, written instruction by instruction."""
    parts = [b"\x80\x02ccollections\nOrderedDict\n)R("]
    for key, (name, array) in enumerate(tensors.items()):
        storage = _STORAGES.get(array.dtype.str[1:], "BFloat16Storage").encode()
        strides = [stride // array.itemsize for stride in np.empty_like(array, order="C").strides]
        parts += [
            *(_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _text("storage")),
            *(b"ctorch\n", storage, b"\n", _text(str(key)), _text("cpu"), _int(array.size)),
            *(b"tQ", _int(0), b"(", *map(_int, array.shape), b"t("),
            *(*map(_int, strides), b"t\x89ccollections\nOrderedDict\n)RtR"),
        ]
    return b"".join([*parts, b"u."])


def _text(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(number):
    return b"J" + struct.pack("<i", number)
