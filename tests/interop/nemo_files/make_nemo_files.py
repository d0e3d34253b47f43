"""Makes small `.nemo` ContextNet files with NVIDIA NeMo, and the numbers NeMo computes from them.

    python make_nemo_files.py FOLDER

It needs nemo_toolkit[asr]==3.0.0. README.md tells what the files are, variants.yaml what differs.
"""

import contextlib
import gzip
import hashlib
import io
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from nemo.collections.asr.models import EncDecRNNTBPEModel, EncDecRNNTModel
from omegaconf import OmegaConf

MAX_SYMBOLS = 10
MARGIN = 0.5  # between the best and the second-best logit, at every decision of greedy decoding
ENGLISH = ["the cat sat on the mat", "a hen has ten eggs", "the man ate the goat at noon"]
SPANISH = ["el sol sale en la isla", "la sal de la mesa es la sal del mar", "ese es el lema"]


def train_tokenizer(folder, sentences, size):
    """Writes what NeMo's tokenizer script does into `folder`."""
    model = io.BytesIO()
    settings = {"model_type": "bpe", "bos_id": -1, "eos_id": -1, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=size,
        normalization_rule_name="identity",  # the tables of the others take 240 kB
        **settings,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    pieces = processor.id_to_piece(list(range(size)))
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")


def make_audio(sample_rate):
    """Two rows of noisy tones that change every 80 ms; the second is shorter and ends loudly."""
    random = np.random.default_rng(0)
    lengths = np.array([14731, 8960]) * sample_rate // 16000
    time = np.arange(lengths[0]) / sample_rate
    segment = (time / 0.08).astype(int)
    audio = np.zeros((2, lengths[0]))
    for row in (0, 0, 0, 1, 1, 1):
        frequency = random.uniform(150, 0.4 * sample_rate, segment[-1] + 1)[segment]
        loudness = random.uniform(0, 0.2, segment[-1] + 1)[segment]
        noise = 1 + 0.5 * random.standard_normal(len(time))
        audio[row] += loudness * noise * np.sin(2 * np.pi * frequency * time)
    audio[:, : int(0.04 * sample_rate)] *= 1e-3  # nearly silent, where the guard of the log acts
    audio[1, lengths[1] - 1] = 0.25
    audio[1, lengths[1] :] = 0
    audio = np.round(audio * 2**15) / 2**15  # as 16-bit audio, which compresses better
    return torch.tensor(audio, dtype=torch.float32), torch.tensor(lengths)


def features(model, audio, lengths, legacy):
    """NeMo 3.0.0's features, or with `legacy` those of NeMo 2.4 and older."""
    featurizer = model.preprocessor.featurizer
    if legacy:
        # with its preemphasis NeMo 3 zeroes what is past the length; the older did not
        audio = torch.cat([audio[:, :1], audio[:, 1:] - 0.97 * audio[:, :-1]], dim=1)
        sizes = (featurizer.n_fft, featurizer.hop_length, featurizer.win_length)
        featurizer.preemph = None
        featurizer.get_seq_len = lambda lengths: lengths // featurizer.hop_length + 1
        featurizer.stft = lambda audio: torch.stft(  # centred, with reflected ends
            audio, *sizes, window=featurizer.window, return_complex=True
        )
    return model.preprocessor(input_signal=audio, length=lengths)


@torch.no_grad()
def settle_batch_norms(model, mel, mel_lengths):
    """Random scales and offsets, and the statistics that follow from them."""
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.train().momentum = 1.0
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.3)
    model.encoder(audio_signal=mel, length=mel_lengths)
    for norm in norms:
        norm.eval()


@torch.no_grad()
def greedy(model, encoded):
    """The token ids of `encoded` (time, channels), and the smallest margin of any decision."""
    label, state, tokens, margins = None, None, [], []
    for frame in encoded:
        for _ in range(MAX_SYMBOLS):
            output, next_state = model.decoder.predict(label, state, add_sos=False, batch_size=1)
            best = model.joint.joint(frame[None, None], output).flatten().topk(2)
            margins.append((best.values[0] - best.values[1]).item())
            if best.indices[0] == model.joint.num_classes_with_blank - 1:
                break
            label, state = best.indices[:1, None], next_state
            tokens.append(label.item())
    return tokens, min(margins)


def alignment(tokens, frames, blank):
    """Frames, tokens so far and next symbols: first a blank, then two tokens at a time."""
    path, so_far = [], 0
    for frame in range(frames):
        while so_far < len(tokens) and so_far // 2 * 2 * (frames - 1) // len(tokens) < frame:
            path.append((frame, so_far, tokens[so_far]))
            so_far += 1
        path.append((frame, so_far, blank))
    return torch.tensor(path).T


def learn(model, mel, mel_lengths, rows):
    """Trains the decoder and the joint until greedy decoding surely finds the `rows` of tokens."""
    with torch.no_grad():
        encoded, lengths = model.encoder(audio_signal=mel, length=mel_lengths)
    pairs = [(x.T[:length], row) for x, length, row in zip(encoded, lengths, rows, strict=True)]
    optimizer = torch.optim.Adam([*model.decoder.parameters(), *model.joint.parameters()], lr=0.01)
    while True:
        optimizer.zero_grad()
        for frames, tokens in pairs:
            path = alignment(tokens, len(frames), model.joint.num_classes_with_blank - 1)
            pred, _ = model.decoder.predict(torch.tensor([tokens]))
            logits = model.joint.joint(frames[None], pred)[0, path[0], path[1]]
            torch.nn.functional.cross_entropy(logits, path[2]).backward()
        optimizer.step()
        found = [(greedy(model, frames), tokens) for frames, tokens in pairs]
        if all(ids == tokens and margin > MARGIN for (ids, margin), tokens in found):
            return


def tokenize(model, texts):
    """Token ids of each text, of one language each where the tokenizer has several."""
    if not hasattr(model, "tokenizer"):
        return [[list(model.joint.vocabulary).index(letter) for letter in text] for text in texts]
    languages = getattr(model.tokenizer, "langs", None)
    rows = zip(texts, languages, strict=True) if languages else [(text,) for text in texts]
    return [model.tokenizer.text_to_ids(*row) for row in rows]


@torch.no_grad()
def numbers(model, audio, lengths, legacy):
    """Everything that the model computes on the way from `audio` to text."""
    mel, mel_lengths = features(model, audio, lengths, legacy)
    found = {"audio": audio, "audio_len": lengths, "features": mel, "features_len": mel_lengths}
    if legacy:  # with nothing behind its end, which is then reflected
        alone, _ = features(model, audio[1:, : lengths[1]], lengths[1:], legacy)
        found["features_1_alone"] = alone
    outputs, encoded_lengths = [mel], mel_lengths
    for number, layer in enumerate(model.encoder.encoder):
        outputs, encoded_lengths = layer((outputs, encoded_lengths))
        found[f"block_{number:02}"] = outputs[-1]
    encoded = outputs[-1]
    targets = torch.arange(10).reshape(2, 5) * 7 % (model.joint.num_classes_with_blank - 1)
    pred, _, (h, c) = model.decoder(targets=targets, target_length=torch.tensor([5, 5]))
    model.joint.log_softmax = False
    logits = model.joint.joint(encoded.mT, pred.mT)
    found |= {"encoded": encoded, "encoded_len": encoded_lengths, "targets": targets}
    found |= {"pred": pred, "pred_h": h, "pred_c": c, "joint_logits": logits}
    found = {name: value.numpy() for name, value in found.items()}
    decode = model.decoding.rnnt_decoder_predictions_tensor
    for row, decoded in enumerate(decode(encoded, encoded_lengths, return_hypotheses=True)):
        tokens, margin = greedy(model, encoded[row].T[: encoded_lengths[row]])
        assert tokens == list(decoded.y_sequence)
        assert margin > MARGIN
        found |= {f"greedy_{row}": np.array(tokens), f"text_{row}": np.array(decoded.text)}
    return found


def as_version_one(config, members):
    """Edits a file to what NeMo 1.0.0rc1 wrote: plain member names, and fewer settings."""
    config.nemo_version = "1.0.0rc1"
    config.variational_noise = {"start_step": 0, "std": 0.075}  # NeMo 3 knows no such section
    config.tokenizer = {"dir": config.tokenizer.dir, "type": config.tokenizer.type}
    for name in ("kernel_size_factor", "pad_to"):
        for section in (config.preprocessor, config.model_defaults, *config.encoder.jasper):
            section.pop(name, None)
    return config, {re.sub("^[0-9a-f]{32}_", "", name): data for name, data in members.items()}


def repack(source, target, legacy, compressed=True, prefix="./"):
    """Copies a `.nemo` file, reproducibly: no times, and names that follow from the contents."""
    with tarfile.open(source) as archive:
        files = [member for member in archive if member.isfile()]
        members = {Path(file.name).name: archive.extractfile(file).read() for file in files}
    text = members.pop("model_config.yaml").decode()
    for name in [name for name in members if name != "model_weights.ckpt"]:
        data, (random, rest) = members.pop(name), name.split("_", 1)
        members[f"{hashlib.md5(data).hexdigest()}_{rest}"] = data
        text = text.replace(random, hashlib.md5(data).hexdigest())
    if legacy:
        config, members = as_version_one(OmegaConf.create(text), members)
        text = OmegaConf.to_yaml(config)
    # as people write it: a number to NeMo, although a string in YAML 1.1
    text = text.replace("log_zero_guard_value: 1.0e-05", "log_zero_guard_value: 1e-5")
    members["model_config.yaml"] = text.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in sorted(members.items()):
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    packed = packed.getvalue()
    target.write_bytes(gzip.compress(packed, mtime=0) if compressed else packed)


def make(variants, name, folder, legacy=False, **packing):
    """Writes one `.nemo` file that finds its texts, and the `.npz` file beside it."""
    variant = variants[name]
    config = OmegaConf.merge(*map(OmegaConf.create, (variants["every"], variant["settings"])))
    config.encoder.jasper = [variants["every_block"] | block for block in variant["blocks"]]
    torch.manual_seed(0)
    kind = EncDecRNNTBPEModel if "tokenizer" in config else EncDecRNNTModel
    model, audio = kind(cfg=config).eval(), make_audio(config.sample_rate)
    mel = features(model, *audio, legacy)
    settle_batch_norms(model, *mel)
    learn(model, *mel, tokenize(model, variant["texts"]))
    model.save_to(str(Path("saved.nemo").absolute()))
    repack("saved.nemo", folder / f"{name}.nemo", legacy, **packing)
    restored = kind.restore_from(str(folder / f"{name}.nemo"), map_location="cpu").eval()
    found = numbers(restored, *audio, legacy)
    for key, value in numbers(model, *audio, legacy).items():
        np.testing.assert_array_equal(found[key], value)
    np.savez_compressed(folder / f"{name}.npz", **found)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    variants = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("variants.yaml")))
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):
        train_tokenizer(Path("english"), ENGLISH, 24)
        train_tokenizer(Path("spanish"), SPANISH, 18)
        make(variants, "deep", folder, legacy=True)
        make(variants, "aggregate", folder, compressed=False)
        make(variants, "options", folder)
        make(variants, "options_8k", folder, compressed=False, prefix="")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
