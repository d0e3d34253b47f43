"""The training run: fit, keep the best weights, survive an interruption, leave a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.training.learning_curve import LearningCurve

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet


def train(
    model: ContextNet,
    train_data: Any,
    folder: str | Path,
    epochs: int,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Fits a compiled model and leaves it in a folder as a preset.

    The folder gets `preset/` (the model, with the weights of its best epoch), `history.csv` and
    `curve.png`. A run that was interrupted continues where its last epoch ended when it is started
    again with the same folder.

    Args:
        model: `ContextNet`, compiled.
        train_data: what `fit` takes, such as `make_dataset(..., shuffle=True)`.
        folder: where the run leaves its files.
        epochs: int. Passes over `train_data`.
        validation_data: what `evaluate` takes. The best epoch is the one of the lowest validation
            word error rate, or loss where there is no such metric; without validation it is the
            last.
        callbacks: Keras callbacks to run besides.
        verbose: of `fit`: 0 silent, 1 a progress bar, 2 a line an epoch.

    Returns:
        What `fit` returns; its `history` holds the epochs of this start.

    Raises:
        ValueError: if the model is not compiled.
        ImportError: without matplotlib (extra `plot`).

    Example:

    ```python
    import keras_contextnet as kc
    from keras_contextnet.training import train

    utterances = kc.data.read_manifest("examples/audio/manifest.jsonl")
    tokenizer = kc.text.CharacterTokenizer()
    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 4}]),
        predictor=kc.Predictor(tokenizer.vocabulary_size + 1, embedding_size=16, units=16),
        joiner=kc.Joiner(tokenizer.vocabulary_size + 1, units=16),
        tokenizer=tokenizer,
    )
    model.compile(optimizer="adam")
    dataset = kc.data.make_dataset(utterances, tokenizer, batch_size=5, shuffle=True)
    train(model, dataset, "runs/example", epochs=1, verbose=0)
    ```
    """
    if not model.compiled:
        raise ValueError("Expected a compiled model. Call `model.compile(optimizer=...)` first.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    best = folder / "best.weights.h5"
    monitor = _monitored(model, validation_data)
    history = model.fit(
        train_data,
        validation_data=validation_data,
        epochs=epochs,
        verbose=verbose,
        # Datasets and generators shuffle for themselves; Keras warns when it is told to.
        shuffle=isinstance(train_data, keras.utils.PyDataset),
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                best,
                monitor=monitor or "loss",
                mode="min",
                save_best_only=monitor is not None,
                save_weights_only=True,
            ),
            keras.callbacks.CSVLogger(folder / "history.csv", append=True),
            LearningCurve(folder / "curve.png"),
            *callbacks,
            keras.callbacks.BackupAndRestore(folder / "backup"),
        ],
    )
    model.load_weights(best)
    model.save_to_preset(folder / "preset")
    return history


def _monitored(model: ContextNet, validation_data: Any) -> str | None:
    if validation_data is None:
        return None
    metrics = (model.get_compile_config() or {}).get("metrics") or []
    names = [metric["config"]["name"] for metric in metrics]
    return "val_wer" if "wer" in names else "val_loss"
