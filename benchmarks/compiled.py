"""Training steps a second: in float32, as a run is by itself, with ``--compile``, with ``--amp``.

    python benchmarks/compiled.py [--config CONFIG ...] [--batch N] [--rounds N] [--output FILE]

Free data: the same random batch again and again, so that no loader is measured. The sides take
turns in one process. On a machine with a GPU they run there, with its memory at the peak. The
losses of the first steps stand beside the times: those of ``--compile`` differ by rounding only.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from _record import ROOT, interleaved, ratios, record, result_path, summary

# config, samples of a batch
CONFIGS = {
    'configs/rle/rle_mobilenetv2-050_1xb64-20e_lsp-192x192.py': 64,
    'configs/rle/rle_res50_8xb64-210e_coco-256x192.py': 16,
    'configs/hrnet/heatmap_hrnet-w32_8xb64-210e_coco-256x192.py': 8,
}
# name: compiled, mixed precision, what RLEPOSE_CPU_SPEED is
SIDES = {
    'plain': (False, False, 'float32'),
    'by itself': (False, False, '1'),
    'bfloat16': (False, False, 'bfloat16'),
    'compile': (True, False, 'float32'),
    'amp': (False, True, 'float32'),
    'compile, amp': (True, True, 'float32'),
}
SEED = 0
SWITCH = 'RLEPOSE_CPU_SPEED'


class Training:
    """A model of a config that trains on one random batch.

    Args:
        config: path below the checkout.
        batch: samples.
        compiled: as ``--compile``.
        amp: as ``--amp``.
        changes: keys of the config to override.
    """

    def __init__(
        self,
        config: str,
        batch: int,
        compiled: bool = False,
        amp: bool = False,
        changes: dict[str, Any] | None = None,
    ) -> None:
        import torch
        from mmengine.config import Config
        from mmengine.optim import build_optim_wrapper
        from mmengine.registry import DefaultScope
        from mmpose.registry import KEYPOINT_CODECS, MODELS
        from mmpose.utils import register_all_modules

        import rlepose_ext  # noqa: F401  (registers our classes)
        from rlepose_ext.engine.compiled import compile_backbone
        from rlepose_ext.engine.cpu_speed import speed_up

        register_all_modules()
        settings = Config.fromfile(ROOT / config)
        settings.merge_from_dict(changes or {})
        settings.model.backbone.pop('init_cfg', None)
        torch.manual_seed(SEED)
        self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
        wrapper = dict(settings.optim_wrapper, **({'type': 'AmpOptimWrapper'} if amp else {}))
        with DefaultScope.overwrite_default_scope('mmpose'):
            self.model = MODELS.build(settings.model)
            self.model.init_weights()
            self.model.to(self.device).train()
            if self.device == 'cpu':
                speed_up(self.model)
            self.wrapper = build_optim_wrapper(self.model, wrapper)
            codec = KEYPOINT_CODECS.build(settings.codec)
        if compiled:
            compile_backbone(self.model)
        self.size = settings.codec['input_size']
        self.data = self.batch(codec, batch, settings.model.head)
        self.losses: list[float] = []

    def batch(self, codec: Any, count: int, head: dict[str, Any]) -> dict[str, Any]:
        """Random pixels and random joints, as a loader gives them."""
        import numpy as np
        import torch
        from mmpose.datasets.transforms import GenerateTarget, PackPoseInputs

        rng = np.random.default_rng(SEED)
        joints = head.get('num_joints') or head['out_channels']
        width, height = self.size
        generate = GenerateTarget.__new__(GenerateTarget)
        generate.encoder, generate.multilevel = codec, False
        generate.use_dataset_keypoint_weights = False
        packed = []
        for _ in range(count):
            keypoints = rng.uniform(0, self.size, (1, joints, 2)).astype(np.float32)
            results = {
                'img': rng.integers(0, 256, (height, width, 3), np.uint8),
                'keypoints': keypoints,
                'transformed_keypoints': keypoints,
                'keypoints_visible': np.ones((1, joints), np.float32),
                'input_size': self.size,
            }
            packed.append(PackPoseInputs().transform(generate.transform(results)))
        return {
            'inputs': torch.stack([sample['inputs'] for sample in packed]),
            'data_samples': [sample['data_samples'] for sample in packed],
        }

    def step(self) -> None:
        """One iteration, from the batch in memory to the new weights."""
        log = self.model.train_step(self.data, self.wrapper)
        self.losses.append(float(log['loss']))


def measure(config: str, batch: int, rounds: int, sides: list[str]) -> list[dict[str, Any]]:
    """A row for each side of one config."""
    import torch

    trainings, first, memory = {}, {}, {}
    for name in sides:
        compiled, amp, os.environ[SWITCH] = SIDES[name]
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()  # of the sides that are there already
        trainings[name] = Training(config, batch, compiled, amp)
        start = time.perf_counter()
        trainings[name].step()
        first[name] = time.perf_counter() - start
        if torch.cuda.is_available():
            trainings[name].step()  # with what the optimizer keeps
            memory[name] = round((torch.cuda.max_memory_allocated() - before) / 2**30, 2)
    seconds = interleaved({name: run.step for name, run in trainings.items()}, rounds, warmup=2)
    return [
        {
            'config': Path(config).stem,
            'side': name,
            'batch': batch,
            'images_per_second': round(batch / summary(values)['median'], 1),
            'first_step_seconds': round(first[name], 1),
            'times_plain': summary(ratios(seconds, sides[0], name), 3),
            'gpu_memory_gib': memory.get(name),
            'losses': [round(loss, 4) for loss in trainings[name].losses[:4]],
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', nargs='+', default=list(CONFIGS))
    parser.add_argument('--batch', type=int, help='by default 64 for small models, 8 for HRNet')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--sides', nargs='+', choices=list(SIDES), default=list(SIDES))
    parser.add_argument('--output', type=Path)
    args = parser.parse_args()
    rows = []
    for config in args.config:
        batch = args.batch or CONFIGS.get(config, 64)
        found = measure(config, batch, args.rounds, args.sides)
        rows += found
        for row in found:
            print(row, flush=True)
    record(
        args.output or result_path('compiled'),
        rows,
        code=('rlepose_ext/engine', 'rlepose_ext/models', *args.config),
        repeats=args.rounds,
        spread='quartiles of times_plain',
        seed=SEED,
    )


if __name__ == '__main__':
    main()
