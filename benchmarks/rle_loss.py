"""RLELoss against MMPose's: forward plus backward, side by side, same weights.

    python benchmarks/rle_loss.py [--threads N] [--repeats N] [--output FILE]

On a machine with a GPU also there, with and without autocast.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _record import interleaved, ratios, record, result_path, summary

import rlepose_ext  # noqa: F401  (makes MMPose importable)

JOINTS = 17
SEED = 0


def step(loss: Any, inputs: list[Any], device: str, half: bool) -> Callable[[], None]:
    """One forward and backward pass of a loss."""
    import torch

    pred, logits, target, weight = inputs

    def run() -> None:
        loss.zero_grad()
        pred.grad = logits.grad = None
        with torch.autocast(device, torch.float16, enabled=half):
            value = loss(pred, logits, target, weight)
        value.backward()

    return run


def measure(batch: int, visible: float, device: str, half: bool, repeats: int) -> dict[str, Any]:
    """One row: both losses on one batch.

    Args:
        batch: N.
        visible: share of joints with weight 1.
        device: 'cpu' or 'cuda'.
        half: autocast to float16.
        repeats: rounds.
    """
    import torch
    from mmpose.models.losses import RLELoss as StockRLELoss

    from rlepose_ext.models.losses import RLELoss

    torch.manual_seed(SEED)
    ours, peer = (cls(use_target_weight=True).to(device) for cls in (RLELoss, StockRLELoss))
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    peer.load_state_dict(ours.state_dict())
    shape = (batch, JOINTS, 2)
    inputs = [
        torch.rand(shape, device=device).requires_grad_(),
        (torch.randn(shape, device=device) - 2).requires_grad_(),
        torch.rand(shape, device=device),
        (torch.rand(*shape[:2], 1, device=device) < visible).float(),
    ]
    seconds = interleaved(
        {
            name: step(loss, inputs, device, half)
            for name, loss in (('mmpose', peer), ('ours', ours))
        },
        repeats,
        synchronize=torch.cuda.synchronize if device == 'cuda' else None,
    )
    return {
        'device': device,
        'autocast': half,
        'batch': batch,
        'joints': JOINTS,
        'visible': visible,
        'repeats': repeats,
        'mmpose_ms': summary([1e3 * value for value in seconds['mmpose']]),
        'ours_ms': summary([1e3 * value for value in seconds['ours']]),
        'times_faster': summary(ratios(seconds, 'mmpose', 'ours')),
    }


def main() -> None:
    """Measure every row, print it, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--threads', type=int, help="torch's threads, default all cores")
    parser.add_argument('--repeats', type=int, default=41)
    parser.add_argument('--output', type=Path, help='default results/rle_loss.MACHINE.json')
    args = parser.parse_args()

    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    modes = [('cpu', False)]
    if torch.cuda.is_available():
        modes += [('cuda', False), ('cuda', True)]
    rows = []
    for device, half in modes:
        for batch in (64, 1024):
            for visible in (1.0, 0.7):
                row = measure(batch, visible, device, half, args.repeats)
                rows.append(row)
                print(
                    f'{device} autocast={half} batch {batch} visible {visible:.0%}: mmpose '
                    f'{row["mmpose_ms"]["median"]} ms, ours {row["ours_ms"]["median"]} ms, '
                    f'{row["times_faster"]["median"]} times faster'
                )
    record(
        args.output or result_path('rle_loss'),
        rows,
        code=('rlepose_ext/models/losses', 'rlepose_ext/models/flows'),
        repeats=args.repeats,
        spread='quartiles of times_faster',
        seed=SEED,
        claim='RLELoss, forward and backward, is no slower than that of MMPose',
        peer='mmpose.models.losses.RLELoss',
    )


if __name__ == '__main__':
    main()
