"""The losses that `rnnt_loss.py` measures: how each is found, and which adapter runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Implementation:
    """How one loss is found and run."""

    name: str
    title: str
    imports: str  # a statement that fails where the implementation is not installed
    adapter: str
    options: dict[str, Any] = field(default_factory=dict)
    distribution: str = "keras-contextnet"
    backend: str = "tensorflow"
    in_picture: bool = True
    approximate: bool = False

    def title_of_version(self, version: str) -> str:
        """The title with the version after the package's name."""
        package, comma, rest = self.title.partition(",")
        return f"{package} {version}".rstrip() + comma + rest


def _ours(name: str, title: str, adapter: str, loss: str = "rnnt_loss", **settings: Any):
    imports = f"import tensorflow; from keras_contextnet.losses import {loss}"
    if settings.get("backend") == "jax":
        imports = imports.replace("tensorflow", "jax")
    return Implementation(
        f"ours-{name}", f"keras-contextnet, {title}", imports, f"rnnt_loss_ours:{adapter}",
        **settings,
    )  # fmt: skip


def _torch(distribution: str, adapter: str, note: str = "", **settings: Any):
    options = {"loss": distribution}
    return Implementation(
        distribution, distribution + note, f"import {distribution}", f"rnnt_loss_peers:{adapter}",
        options, distribution, **settings,
    )  # fmt: skip


_TENSORFLOWASR = "import tensorflow_asr.losses.impl.rnnt"
IMPLEMENTATIONS = {
    "logits": [
        _ours("graph", "graph", "logits_tensorflow"),
        _ours("xla", "XLA", "logits_tensorflow", options={"mode": "xla"}),
        _ours("eager", "eager", "logits_tensorflow", options={"mode": "eager"}, in_picture=False),
        _ours(
            "dynamic", "graph, dynamic shapes", "logits_tensorflow", options={"mode": "dynamic"},
            in_picture=False,
        ),
        _ours("jax", "JAX, jit", "logits_jax", backend="jax"),
        Implementation(
            "tensorflowasr", "TensorFlowASR, graph", _TENSORFLOWASR,
            "rnnt_loss_peers:logits_tensorflowasr", distribution="TensorFlowASR",
        ),
        Implementation(
            "tensorflowasr-xla", "TensorFlowASR, XLA", _TENSORFLOWASR,
            "rnnt_loss_peers:logits_tensorflowasr", {"xla": True}, "TensorFlowASR",
            in_picture=False,
        ),
        _torch("torchaudio", "logits_torch"),
        _torch("fast_rnnt", "logits_torch"),
        _torch("optimized_transducer", "logits_torch"),
        _torch("warprnnt_numba", "logits_torch", ", warp-transducer in Python", in_picture=False),
    ],
    "joint": [
        _ours("materialised", "materialised", "joint_tensorflow", options={"loss": "materialised"}),
        _ours(
            "materialised-bf16", "materialised, mixed_bfloat16", "joint_tensorflow",
            options={"loss": "materialised", "dtype": "mixed_bfloat16"},
        ),
        _ours("fused", "fused", "joint_tensorflow", "joint_rnnt_loss", options={"loss": "fused"}),
        _ours(
            "fused-bf16", "fused, mixed_bfloat16", "joint_tensorflow", "joint_rnnt_loss",
            options={"loss": "fused", "dtype": "mixed_bfloat16"},
        ),
        _ours(
            "fused-bf16-1e-6", "fused, mixed_bfloat16, cells below 1e-6 skipped",
            "joint_tensorflow", "joint_rnnt_loss",
            options={"loss": "fused", "dtype": "mixed_bfloat16", "negligible": 1e-6},
            in_picture=False,
        ),
        _ours(
            "pruned", "pruned to 5 (approximate)", "joint_tensorflow", "joint_rnnt_loss",
            options={"loss": "pruned"}, approximate=True,
        ),
        _ours(
            "pruned-bf16", "pruned to 5 (approximate), mixed_bfloat16", "joint_tensorflow",
            "joint_rnnt_loss", options={"loss": "pruned", "dtype": "mixed_bfloat16"},
            approximate=True,
        ),
        Implementation(
            "tensorflowasr", "TensorFlowASR, graph", _TENSORFLOWASR,
            "rnnt_loss_peers:joint_tensorflowasr", distribution="TensorFlowASR",
        ),
        _torch("torchaudio", "joint_torch"),
        _torch("fast_rnnt", "joint_torch"),
        Implementation(
            "fast_rnnt-pruned", "fast_rnnt, pruned to 5 (approximate)", "import fast_rnnt",
            "rnnt_loss_peers:joint_fast_rnnt_pruned", distribution="fast_rnnt", approximate=True,
        ),
        _torch("optimized_transducer", "joint_torch"),
        _torch("warprnnt_numba", "joint_torch", ", warp-transducer in Python", in_picture=False),
    ],
}  # fmt: skip
FLOAT64 = {
    "logits": _ours("float64", "", "logits_tensorflow", options={"dtype": "float64"}),
    "joint": _ours(
        "float64", "", "joint_tensorflow", options={"loss": "materialised", "dtype": "float64"}
    ),
}
