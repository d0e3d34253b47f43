"""The training run: fit, keep the best weights, survive an interruption, leave a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.replicas import strategy_scope
from keras_contextnet.training.averaged_weights import AveragedWeights
from keras_contextnet.training.bad_batches import BadBatches
from keras_contextnet.training.batch_plan import BatchPlan
from keras_contextnet.training.best_preset import BestPreset
from keras_contextnet.training.checkpoint import CheckpointFolder
from keras_contextnet.training.checkpointing import Checkpointing, ShortFirstEpoch
from keras_contextnet.training.distribute import gather, is_chief
from keras_contextnet.training.finite_mean import track_finite_loss
from keras_contextnet.training.finite_steps import FiniteSteps
from keras_contextnet.training.history_file import HistoryFile
from keras_contextnet.training.learning_curve import LearningCurve
from keras_contextnet.training.left_out import LeftOutUtterances
from keras_contextnet.training.measures import Measures
from keras_contextnet.training.progress import Progress
from keras_contextnet.training.run_log import RunLog
from keras_contextnet.training.tensorboard import tensorboard_callback

if TYPE_CHECKING:
    from keras_contextnet.data import EpochPlan
    from keras_contextnet.models import ContextNet


def train(
    model: ContextNet,
    train_data: Any | Callable[[int, int], Any],
    folder: str | Path,
    epochs: int,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    plan: EpochPlan | None = None,
    checkpoint_minutes: float | None = 10.0,
    checkpoint_steps: int | None = None,
    tensorboard: bool = False,
) -> keras.callbacks.History:
    """Fits a compiled model and leaves it in a folder as a preset.

    The folder gets `preset/` (the model of the best epoch so far), `history.csv`, `curve.png`,
    `train.log` and `checkpoints/`. A run that was interrupted, however hard, goes on from its last
    checkpoint when it is started again with the same folder: with the same weights, optimizer
    and random state, at the same place in the data.

    Of several processes (see `distribute`) the first one writes; all read the checkpoints, so the
    folder has to be one that they share.

    A step whose loss or gradients are not finite changes nothing; its batch is named in the log.
    Where the optimizer averages weights (`use_ema`), validation and preset have the averages.

    Args:
        model: `ContextNet`, compiled. Its optimizer is wrapped in `FiniteSteps`.
        train_data: what `fit` takes; checkpoints are then saved after every epoch. Or, with a
            `plan`, a function of epoch and batch that makes the batches from there on without an
            end, such as `lambda *start: dataset_from_plan(plan, start=start, repeat=True)`; then a
            run goes on in the middle of an epoch, without reading what it has had.
        folder: where the run leaves its files.
        epochs: int. Passes over the data.
        validation_data: what `evaluate` takes. The best epoch is the one of the lowest validation
            word error rate, or loss where there is no such metric; without validation it is the
            last.
        callbacks: Keras callbacks to run besides.
        verbose: 0 silent, 1 a progress bar and a line an epoch, 2 a line an epoch; "auto" is 1 on
            a terminal, else 2.
        plan: `keras_contextnet.data.EpochPlan` of the data: which utterances are in which batch.
        checkpoint_minutes: float or None. Minutes between checkpoints within an epoch.
        checkpoint_steps: int or None. Batches between checkpoints within an epoch.
        tensorboard: bool. Whether to write `tensorboard/` too.

    Returns:
        What `fit` returns; its `history` holds the epochs of this start.

    Raises:
        ValueError: if the model is not compiled, `train_data` is a function and there is no
            `plan`, or the folder's checkpoints are damaged, of another model, or not the same
            on every host.
        ImportError: without matplotlib (extra `plot`), or tensorboard (extra `tensorboard`).

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
    plan = kc.data.EpochPlan(utterances, tokenizer, batch_size=5, shuffle=True)

    def batches(epoch, batch):
        return kc.data.dataset_from_plan(plan, start=(epoch, batch), repeat=True)

    train(model, batches, "runs/example", epochs=1, plan=plan, verbose=0)
    ```
    """
    if not model.compiled:
        raise ValueError("Expected a compiled model. Call `model.compile(optimizer=...)` first.")
    from_start = callable(train_data) and not isinstance(train_data, keras.utils.PyDataset)
    if from_start and plan is None:
        raise ValueError(
            "Expected `plan`, the EpochPlan of the data, where `train_data` is a function of epoch "
            "and batch. Received: plan=None"
        )
    folder = Path(folder)
    with strategy_scope(model):
        loss, writes = _guard(model), is_chief()
    log = RunLog(folder / "train.log", silent=not writes)
    batches = BatchPlan(plan) if from_start else None

    measures, bad_batches = Measures(batches), BadBatches(log, batches)
    averages = AveragedWeights(partial(train_data, 0, 0) if from_start else None)
    best = BestPreset(folder / "preset", log, _monitored(model, validation_data), averages)
    checkpointing = Checkpointing(
        CheckpointFolder(folder / "checkpoints"),
        log,
        loss,
        batches,
        checkpoint_steps,
        checkpoint_minutes,
        parts={"best": best, "skipped": bad_batches},
        saves=writes,
    )
    curve = LearningCurve(folder / "curve.png")
    board = [tensorboard_callback(folder / "tensorboard")] if tensorboard and writes else []
    if checkpointing.restore(model):
        log.line(_where(checkpointing))
    _check_that_hosts_agree(model, folder)
    measures.first_batch = checkpointing.first_batch
    history_file = HistoryFile(folder / "history.csv", checkpointing.epoch, log)
    curve.load(history_file.rows)

    history = keras.callbacks.History()
    history.on_train_begin()  # which gives it its epochs, none where the run is done
    steps = batches.batches_per_epoch if batches else None
    order: list[keras.callbacks.Callback] = [averages, bad_batches, measures]
    if checkpointing.first_batch and steps:
        order.insert(0, ShortFirstEpoch(steps - checkpointing.first_batch))
    if plan is not None:
        order.append(LeftOutUtterances(log, plan))
    order += [*callbacks, history]
    if writes:
        order += [best, history_file, curve, *board, Progress(log, measures, verbose)]
    order.append(checkpointing)
    if checkpointing.epoch < epochs:
        model.fit(
            train_data(*batches.start) if batches else train_data,
            steps_per_epoch=steps,
            validation_data=validation_data,
            initial_epoch=checkpointing.epoch,
            epochs=epochs,
            verbose=0,
            # Datasets and generators shuffle for themselves; Keras warns when it is told to.
            shuffle=isinstance(train_data, keras.utils.PyDataset),
            callbacks=order,
        )
    with strategy_scope(model):
        # JAX assigns on all processes or on none.
        if all(gather(int(best.is_there))):
            best.load(model)
    return history


def _check_that_hosts_agree(model: ContextNet, folder: Path) -> None:
    with strategy_scope(model):
        steps = gather(int(keras.ops.convert_to_numpy(model.optimizer.steps)))
    if len(set(steps)) > 1:
        raise ValueError(
            f"Expected {folder} to be the same on every host, for each to go on from the same "
            f"checkpoint. Received: checkpoints after {steps} steps. Use a folder that all hosts "
            "share."
        )


def _guard(model: ContextNet) -> keras.metrics.Metric:
    """Keeps what is not finite out of weights and mean loss; returns the metric of the latter."""
    if not isinstance(model.optimizer, FiniteSteps):
        model.optimizer = FiniteSteps(model.optimizer)
        model.train_function = None
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return track_finite_loss(model)


def _where(checkpointing: Checkpointing) -> str:
    batch = f", batch {checkpointing.first_batch + 1}" if checkpointing.first_batch else ""
    return f"continues with epoch {checkpointing.epoch + 1}{batch}"


def _monitored(model: ContextNet, validation_data: Any) -> str | None:
    if validation_data is None:
        return None
    metrics = (model.get_compile_config() or {}).get("metrics") or []
    names = [metric["config"]["name"] for metric in metrics]
    return "val_wer" if "wer" in names else "val_loss"
