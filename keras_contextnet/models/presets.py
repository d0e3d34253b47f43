"""Loading a preset, and the folder a model is shared as.

A preset folder is laid out as KerasHub's are:

    config.json           the model, by keras.saving.serialize_keras_object
    metadata.json         versions, parameter count, date
    model.weights.h5      the weights
    tokenizer.json        the tokenizer
    assets/tokenizer/     the tokenizer's own files
"""

from __future__ import annotations

import datetime
import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.atomic_write import new_folder
from keras_contextnet.models.paper_presets import PRESETS, build_preset
from keras_contextnet.models.preset_weights import save_preset_weights
from keras_contextnet.models.trained_presets import TRAINED_PRESETS, trained_preset_folder

if TYPE_CHECKING:
    from keras_contextnet.models.speech_model import SpeechModel

HUB_SCHEME = "hf://"
CONFIG, METADATA, WEIGHTS, TOKENIZER = (
    "config.json",
    "metadata.json",
    "model.weights.h5",
    "tokenizer.json",
)
TOKENIZER_ASSETS = Path("assets") / "tokenizer"


def load_preset(
    preset: str | Path,
    load_weights: bool | None = None,
    model_class: type[SpeechModel] | None = None,
    **overrides: Any,
) -> SpeechModel:
    """Loads a model by the name of a preset, from a preset folder, or from the Hugging Face Hub.

    Args:
        preset: a key of `ContextNet.presets`, the path of a folder that `save_to_preset` wrote, or
            `"hf://user/model"`.
        load_weights: bool or None. True asks for weights and fails without them, False leaves the
            weights random, None loads them where there are any and says so where not.
        model_class: `ContextNet`, which is what None stands for, or `ContextNetCTC`.
        **overrides: arguments of the model in place of the preset's (`tokenizer`, `augmenter`,
            `l2`, ...), and `dtype`, a Keras dtype policy for all parts. A preset without weights
            takes the vocabulary of another `tokenizer`.

    Returns:
        A `model_class`.

    Raises:
        ValueError: for an unknown preset, a broken one, one of the other class, or
            `load_weights=True` without weights.
        ImportError: for `hf://` without huggingface-hub (extra `hub`).

    Example:

    ```python
    import keras_contextnet

    model = keras_contextnet.ContextNet.from_preset("small", load_weights=False)
    print(model.count_params())
    ```
    """
    if model_class is None:
        from keras_contextnet.models.contextnet import ContextNet as model_class
    if str(preset) in PRESETS:
        return build_preset(str(preset), load_weights, model_class, overrides)
    folder = _folder_of(str(preset))
    if not folder.is_dir():
        raise ValueError(
            f"Expected `preset` to be one of {sorted(PRESETS) + sorted(TRAINED_PRESETS)}, a folder "
            f'written by `save_to_preset`, or "hf://user/model". Received: preset={str(preset)!r}'
        )
    return _load_folder(folder, load_weights, model_class, overrides)


def _folder_of(preset: str) -> Path:
    if preset in TRAINED_PRESETS:
        return trained_preset_folder(preset)
    return _download(preset) if preset.startswith(HUB_SCHEME) else Path(preset)


def save_preset(model: SpeechModel, folder: str | Path, half_precision: bool = False) -> None:
    """Writes a model as a preset folder, which `from_preset` reads.

    The folder is written beside its place and moved there when it is whole. It replaces a preset
    that was there before; other files of that folder, such as a model card, stay.

    Args:
        model: `ContextNet` or `ContextNetCTC`.
        folder: where to; a folder that holds something else is left alone.
        half_precision: bool. Whether matrices are stored in float16, in half the space.

    Raises:
        FileExistsError: where `folder` exists and is not a preset.
        ValueError: for weights that float16 cannot hold.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
        raise FileExistsError(
            f"Expected `folder` to be new, empty or a preset. Received: {folder}, which holds "
            "other files. Choose another folder."
        )
    with new_folder(folder) as new:
        config = keras.saving.serialize_keras_object(model)
        config["config"]["tokenizer"] = None
        config.pop("compile_config", None)
        _write_json(new / CONFIG, config)
        _write_json(new / METADATA, _metadata(model))
        if model.tokenizer is not None:
            _save_tokenizer(model.tokenizer, new)
        save_preset_weights(model, new / WEIGHTS, half_precision)
        if folder.exists():
            _copy_other_files(folder, new)


def _load_folder(
    folder: Path,
    load_weights: bool | None,
    model_class: type[SpeechModel],
    overrides: dict[str, Any],
) -> SpeechModel:
    config = _read_json(folder / CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(
            f"Expected {folder / CONFIG} to describe a Keras object, as `save_to_preset` writes it."
        )
    _check_class(folder, config, model_class)
    if overrides.get("dtype") is not None:
        policy = keras.dtype_policies.serialize(keras.dtype_policies.get(overrides.pop("dtype")))
        config = _with_dtype(config, policy)
    if "tokenizer" not in overrides and (folder / TOKENIZER).is_file():
        overrides["tokenizer"] = _load_tokenizer(folder)
    serialized = {
        name: keras.saving.serialize_keras_object(value) for name, value in overrides.items()
    }
    config["config"].update(serialized)
    model = keras.saving.deserialize_keras_object(config)
    if load_weights is not False:
        _load_weights(model, folder / WEIGHTS, required=bool(load_weights))
    return model


def _check_class(folder: Path, config: dict[str, Any], model_class: type[SpeechModel]) -> None:
    saved = keras.saving.get_registered_object(config.get("registered_name"))
    related = not isinstance(saved, type) or (
        issubclass(saved, model_class) or issubclass(model_class, saved)
    )
    if not related:
        raise ValueError(
            f"Expected a preset of {model_class.__name__}. Received: {folder}, a preset of "
            f"{saved.__name__}. Load it with {saved.__name__}.from_preset."
        )


def _load_weights(model: SpeechModel, path: Path, required: bool) -> None:
    if not path.is_file():
        if required:
            raise ValueError(f"Expected weights at {path}, since load_weights=True. None are.")
        warnings.warn(f"{path} is missing: the model's weights are random.", stacklevel=5)
        return
    try:
        model.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected {path} to hold the weights of this model. It is truncated, corrupt, or of "
            f"another model: {error}"
        ) from error


def _copy_other_files(old: Path, new: Path) -> None:
    for path in old.rglob("*"):
        place = path.relative_to(old)
        own = str(place) in (CONFIG, METADATA, WEIGHTS, TOKENIZER)
        if path.is_file() and not own and TOKENIZER_ASSETS not in place.parents:
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, new / place)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    config = keras.saving.serialize_keras_object(tokenizer)
    config["config"] = tokenizer.get_config(with_assets=False)
    _write_json(folder / TOKENIZER, config)
    (folder / TOKENIZER_ASSETS).mkdir(parents=True)
    tokenizer.save_assets(folder / TOKENIZER_ASSETS)


def _load_tokenizer(folder: Path) -> Any:
    tokenizer = keras.saving.deserialize_keras_object(_read_json(folder / TOKENIZER))
    if (folder / TOKENIZER_ASSETS).is_dir():
        tokenizer.load_assets(folder / TOKENIZER_ASSETS)
    return tokenizer


def _metadata(model: SpeechModel) -> dict[str, Any]:
    from keras_contextnet import __version__

    return {
        "keras_version": keras.version(),
        "keras_contextnet_version": __version__,
        "parameter_count": model.count_params(),
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
    }


def _with_dtype(config: Any, policy: Any) -> Any:
    """Replaces every `dtype` of a nested config."""
    if isinstance(config, list):
        return [_with_dtype(value, policy) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: policy if key == "dtype" else _with_dtype(value, policy)
        for key, value in config.items()
    }


def _download(preset: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"Loading {preset} needs huggingface-hub. Install it with "
            '`pip install "keras-contextnet[hub]"`.'
        ) from error
    return Path(snapshot_download(preset.removeprefix(HUB_SCHEME)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"Expected {path} to be a JSON file of a preset folder: {error}"
        ) from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
