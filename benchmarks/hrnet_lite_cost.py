"""What each variant of the HRNet-Lite family costs: parameters, operations, CPU time.

    python benchmarks/hrnet_lite_cost.py [--repeats N] [--only TEXT] [--output FILE]

One picture of 192 x 256 through backbone and head, one thread, float32, without flip test
and decoding; random weights, which do not change the cost. All variants take turns in each
round. The whole HRNet-W32 with heatmaps is measured beside them.

Operations are counted by ``torch.utils.flop_counter``: two for each multiply-add of a
convolution or matrix product, nothing for the rest. Papers on pose estimation, HRNet's
among them, call multiply-adds "FLOPs": theirs are our GMACs. About 5 minutes, 5 GB.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _record import ROOT, interleaved, ratios, record, result_path, summary

import rlepose_ext  # noqa: F401  (makes MMPose importable)

CONFIGS = ROOT / 'configs' / 'hrnet_lite'
PEER = 'simcc_hrnetlite'
W32 = 'topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
SEED = 0


def configs() -> dict[str, Path]:
    """Every variant, and stock HRNet-W32 under its own name."""
    import mmpose

    stock = Path(mmpose.__file__).parent / '.mim' / 'configs' / 'body_2d_keypoint' / W32
    found = {re.split(r'_\d+xb', path.name)[0]: path for path in sorted(CONFIGS.glob('*.py'))}
    return {**found, 'hrnet-w32 (stock)': stock}


def build(path: Path) -> tuple[Any, Any]:
    """A model with random weights in evaluation mode, and a picture of its input size."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    config = Config.fromfile(path)
    init_default_scope('mmpose')
    config.model.backbone.pop('init_cfg', None)
    width, height = config.codec.input_size
    return MODELS.build(config.model).eval(), torch.rand(1, 3, height, width)


def operations(forward: Callable[[], Any]) -> int:
    """Floating point operations of a forward pass, two for each multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops()


def measure(paths: dict[str, Path], repeats: int) -> list[dict[str, Any]]:
    """One row per variant; times are medians over ``repeats`` rounds."""
    import torch

    from rlepose_ext.models.count import count_parameters

    def forward_of(model: Any, picture: Any) -> Callable[[], Any]:
        return lambda: model(picture, None, mode='tensor')

    torch.manual_seed(SEED)
    rows, candidates = {}, {}
    with torch.no_grad():
        for name, path in paths.items():
            model, picture = build(path)
            candidates[name] = forward_of(model, picture)
            flops = operations(candidates[name])
            rows[name] = {
                'name': name,
                'config': path.name,
                'parameters': count_parameters(model),
                'gflops': float(f'{flops / 1e9:.4g}'),
                'gmacs': float(f'{flops / 2e9:.4g}'),
            }
            print(f'{name}: {rows[name]["parameters"]:,}, {rows[name]["gmacs"]} GMACs', flush=True)
        seconds = interleaved(candidates, repeats=repeats)
    for name, row in rows.items():
        row['milliseconds'] = summary([1000 * value for value in seconds[name]])
        # how many times as long as plain SimCC, round by round
        row['times_simcc'] = summary(ratios(seconds, peer=name, ours=PEER))
    return list(rows.values())


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=30)
    parser.add_argument('--only', default='', help='variants whose name contains this')
    parser.add_argument('--output', type=Path, help='default results/hrnet_lite_cost.MACHINE.json')
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    found = configs()
    paths = {name: path for name, path in found.items() if args.only in name or name == PEER}
    rows = measure(paths, args.repeats)
    record(
        args.output or result_path('hrnet_lite_cost'),
        rows,
        code=('rlepose_ext/models', 'rlepose_ext/zoo/counting.py', 'configs/hrnet_lite'),
        repeats=args.repeats,
        spread='quartiles of milliseconds and times_simcc',
        seed=SEED,
        peer=PEER,
        batch=1,
    )
    for row in rows:
        print(f'{row["name"]}: {row["milliseconds"]["median"]} ms')


if __name__ == '__main__':
    main()
