"""keras-contextnet train: a model from recordings and transcripts."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import typer

from keras_contextnet_cli import train_options as option
from keras_contextnet_cli.session import read_utterances, session
from keras_contextnet_cli.train_model import (
    make_augmentation,
    make_model,
    make_optimizer,
    make_schedule,
)


def train(
    data: option.Data,
    output: option.Output = Path("runs/train"),
    split: option.Split = None,
    dev: option.Dev = None,
    dev_split: option.DevSplit = None,
    max_duration: option.MaxDuration = None,
    batch_seconds: option.BatchSeconds = 120.0,
    batch_tokens: option.BatchTokens = None,
    speed: option.Speed = False,
    noise: option.Noise = None,
    reverberation: option.Reverberation = False,
    sampled_words: option.SampledWords = 0.0,
    preset: option.Preset = "small",
    alpha: option.Alpha = None,
    tokenizer: option.Tokens = None,
    variational_noise: option.VariationalNoise = 0.0,
    dtype: option.ComputeDtype = None,
    bfloat16_products: option.BFloat16Products = False,
    ctc_weight: option.CtcWeight = 0.0,
    fastemit: option.FastEmit = 0.0,
    epochs: option.Epochs = 100,
    learning_rate: option.LearningRate = 0.0025,
    warmup_steps: option.WarmupSteps = 15000,
    decay: option.Falling = option.Decay.inverse_sqrt,
    l2: option.L2 = 1e-6,
    clip_norm: option.ClipNorm = None,
    average: option.Average = None,
    seed: option.Seed = 0,
    distribute: option.Distribute = False,
    checkpoint_minutes: option.CheckpointMinutes = 10.0,
    tensorboard: option.Tensorboard = False,
) -> None:
    """Train a model on recordings and their transcripts.

    The output folder gets preset/ (what the other commands take as MODEL), history.csv, train.log
    and the curve.png of losses and error rates. The same command, given again after an
    interruption, goes on where its last checkpoint was saved, in the middle of an epoch too.
    Recordings that cannot be read and batches of a loss that is not a number are left out, counted,
    and named in train.log.

    Example: keras-contextnet train corpus.jsonl --split train --dev-split dev --warmup-steps 2000
    """
    with session(), ExitStack() as scopes:
        import keras

        from keras_contextnet import training
        from keras_contextnet.data import EpochPlan
        from keras_contextnet.layers import set_product_dtype
        from keras_contextnet.losses import RNNTLoss
        from keras_contextnet.metrics import WordErrorRate

        distribution = training.distribute() if distribute else training.Distribution()
        scopes.enter_context(distribution.scope())

        def say(line: str) -> None:
            if distribution.is_chief:
                typer.echo(line)

        keras.utils.set_random_seed(seed)
        set_product_dtype("bfloat16" if bfloat16_products else None)
        utterances = read_utterances(data, split)
        has_dev = bool(dev or dev_split)
        dev_utterances = read_utterances(dev or data, dev_split) if has_dev else []
        augmentation = make_augmentation(speed, noise, reverberation)
        compute_dtype = None if dtype is None else dtype.value
        model = make_model(preset, alpha, tokenizer, l2, compute_dtype, ctc_weight)
        model.predictor.variational_noise = variational_noise
        sample_rate = model.frontend.sample_rate

        plan = EpochPlan(
            utterances,
            model.tokenizer,
            batch_seconds=batch_seconds,
            batch_tokens=batch_tokens,
            shuffle=True,
            seed=seed,
            max_duration=max_duration,
            on_error="skip",
            devices=distribution.devices,
            sampled_words=sampled_words,
        )

        def batches(epoch: int, batch: int) -> object:
            return distribution.dataset(
                plan,
                sample_rate=sample_rate,
                augment=augmentation,
                start=(epoch, batch),
                repeat=True,
            )

        dev_dataset = None
        if has_dev:
            dev_plan = EpochPlan(
                dev_utterances,
                model.tokenizer,
                batch_seconds=batch_seconds,
                bucket=True,
                devices=distribution.devices,
            )
            dev_dataset = distribution.dataset(dev_plan, sample_rate=sample_rate)
        schedule = make_schedule(decay.value, learning_rate, warmup_steps, epochs * len(plan))
        model.compile(
            make_optimizer(schedule, clip_norm, average),
            loss=RNNTLoss(model.blank_id, fastemit_lambda=fastemit),
            metrics=[WordErrorRate(model.tokenizer)] if has_dev else None,
        )
        on_devices = f", on {distribution.devices} devices" if distribute else ""
        say(
            f"{model.count_params():,} parameters, {len(plan.utterances)} utterances in "
            f"{len(plan)} batches, {len(dev_utterances)} to validate on{on_devices}"
        )
        training.train(
            model,
            batches,
            output,
            epochs,
            dev_dataset,
            plan=plan,
            checkpoint_minutes=checkpoint_minutes,
            tensorboard=tensorboard,
            verbose="auto" if distribution.is_chief else 0,
        )
        say(f"Model: {output / 'preset'}, learning curve: {output / 'curve.png'}")
