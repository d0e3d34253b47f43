"""The encoder of `small` in PyTorch: one forward pass, backward pass and step of Adam.

    python benchmarks/train_step_torch.py --batch 4 --seconds 10

Layers are PyTorch's own (`Conv1d`, `BatchNorm1d`), over (batch, channels, time) and without masks:
all utterances have one length. `train_step.py --part encoder` measures ours in the same way, and
takes this command as its `--peer`.
"""

import argparse
import resource
import statistics
import time

import torch
from torch import nn

CHANNELS = (128, 256, 320)  # of the paper's three stages at alpha 0.5
STRIDED_BLOCKS = (3, 7, 14)


def separable(inputs: int, filters: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, inputs, 5, stride, padding=2, groups=inputs, bias=False),
        nn.Conv1d(inputs, filters, 1, bias=False),
        nn.BatchNorm1d(filters),
        nn.SiLU(),
    )


class Block(nn.Module):
    """`ContextBlock`: separable convolutions, squeeze-and-excitation with its own, a residual."""

    def __init__(self, inputs: int, filters: int, convs: int, stride: int) -> None:
        super().__init__()
        layers = [separable(inputs if i == 0 else filters, filters) for i in range(convs - 1)]
        layers.append(separable(inputs if convs == 1 else filters, filters, stride))
        self.convs = nn.Sequential(*layers, separable(filters, filters))
        self.gate = nn.Sequential(
            nn.Linear(filters, filters // 8), nn.SiLU(), nn.Linear(filters // 8, filters)
        )
        self.projection = (
            nn.Sequential(
                nn.Conv1d(inputs, filters, 1, stride, bias=False), nn.BatchNorm1d(filters)
            )
            if convs > 1
            else None
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = self.convs(inputs)  # (batch, filters, time)
        x = x * torch.sigmoid(self.gate(x.mean(2)))[..., None]
        return x if self.projection is None else nn.functional.silu(x + self.projection(inputs))


def make_encoder() -> nn.Sequential:
    first, second, last = CHANNELS
    sizes = [(first, 1), *[(first, 5)] * 10, *[(second, 5)] * 11, (last, 1)]
    blocks, inputs = [], 80
    for index, (filters, convs) in enumerate(sizes):
        blocks.append(Block(inputs, filters, convs, 2 if index in STRIDED_BLOCKS else 1))
        inputs = filters
    return nn.Sequential(*blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4, help="utterances")
    parser.add_argument("--seconds", type=float, default=10, help="length of an utterance")
    parser.add_argument("--steps", type=int, default=9, help="warm steps, of which the median")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    encoder = make_encoder()
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-4)
    features = torch.randn(arguments.batch, 80, int(100 * arguments.seconds))
    times = []
    for _ in range(1 + arguments.steps):
        started = time.perf_counter()
        optimizer.zero_grad()
        encoder(features).square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    warm = statistics.median(times[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"PyTorch {torch.__version__} encoder of small, "
        f"{sum(p.numel() for p in encoder.parameters()):,} parameters: "
        f"first step {times[0]:.1f} s, warm step {warm:.2f} s (median of {arguments.steps}), "
        f"{arguments.batch * arguments.seconds / warm:.0f} audio-s/s, peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
