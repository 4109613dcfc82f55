"""Every config of the zoo at its full size as ONNX: what is exported, and how exactly.

    python benchmarks/export_matrix.py
    python benchmarks/export_matrix.py --only dekr lip    # those whose name contains one of these

Weights are random ones with which the picture reaches the output; configs that train for 8 bit get
ranges from random crops. ``rlepose export`` compares each file with its model on drawn people and
refuses more than 0.05 px. Each config has a process of its own. Rows are added to the file as they
come. A row is made again if it failed or if its config has changed since. The status is 1 if an
export failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _miniature import without_downloads  # first: imports rlepose_ext
from _record import RESULTS, ROOT
from _results import Results
from _small import chosen
from matrix import digest, leaves

# isort: split
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from rlepose_ext.errors import UserError
from rlepose_ext.models.estimators import QuantPoseEstimator
from rlepose_ext.models.layers.coord_attention import CoordAttention

CODE = (*(f'rlepose_ext/{name}' for name in ('export', 'models', 'codecs', 'quant')), 'configs')
# Needs a pose beside the crop, which the layout has no place for.
NOT_MEANT = ('posefix',)


def lively(model: torch.nn.Module) -> None:
    """Random weights with which the picture reaches the output, in place."""
    torch.manual_seed(0)
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
            torch.nn.init.uniform_(part.weight, 0.8, 1.2)
    for part in model.backbone.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, mode='fan_in', nonlinearity='linear')

    with torch.no_grad():
        if getattr(model.head.decoder, 'heatmap_type', None) == 'combined':
            # offsets in units of a radius would be thousands of pixels
            model.head.final_layer.weight.mul_(1e-4)
        for part in model.modules():
            if isinstance(part, CoordAttention):
                # onnxruntime's sigmoid is right to 1e-8, not to a share of what is as small
                part.gate_h.weight.mul_(0.01)
                part.gate_w.weight.mul_(0.01)


@torch.no_grad()
def scale_heads(head: torch.nn.Module) -> None:
    """Random weights that find persons, with boxes of sensible sizes."""
    draw = torch.nn.init.normal_
    kind = type(head).__name__
    if kind == 'YOLOXPoseHead':
        for parameter in head.parameters():
            parameter.mul_(0.1)  # sizes of boxes are exponentials
    elif kind == 'MoveNetMultiPoseHead':
        for name in head.parts(17):
            last = getattr(head, name)[-1]
            draw(last.weight, std=0.5)
            torch.nn.init.constant_(last.bias, 6.0 if name == 'box_size' else 0.0)
    elif kind == 'YOLOPoseHead':
        for layer in head.detection:
            draw(layer.weight, std=0.3)
            layer.bias.zero_()
    elif kind == 'AdaptivePoseHead':
        draw(head.searcher.weight, std=0.05)
        draw(head.centre_out[-1].weight, std=3)
        for part in head.parts:
            draw(part.deform.conv_offset_mask.weight, std=0.05)
            draw(part.joints.weight, std=0.3)
    else:
        draw(head.heatmap_conv_layers[-1].weight, std=5)
        head.heatmap_conv_layers[-1].bias.fill_(0.5)
        draw(head.displacement_conv_layers[-1].weight, std=1)
        for part in head.modules():
            if hasattr(part, 'transform_matrix_conv'):
                draw(part.transform_matrix_conv.weight, std=0.05)


def check(path: Path) -> dict[str, Any]:
    """Export one config in this process."""
    from rlepose_ext.export.onnx import export_onnx
    from rlepose_ext.quant.calibrate import calibrate
    from rlepose_ext.quant.to_integer import snap

    init_default_scope('mmpose')
    config = Config.fromfile(path)
    without_downloads(config)
    start = time.perf_counter()
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    if type(model).__name__.endswith(('BottomupPoseEstimator', 'PyramidPoseEstimator')):
        scale_heads(model.head)
    else:
        lively(model)
    if isinstance(model, QuantPoseEstimator):
        width, height = config.codec.input_size
        calibrate(model, [torch.rand(8, 3, height, width) * 4 - 2])
        snap(model)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'model.onnx')
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, file.with_suffix('.pth'))
        try:
            done = export_onnx(config, file.with_suffix('.pth'), file)
        except UserError as error:
            return {'status': 'refused', 'why': str(error).replace(f'{ROOT}/', '')}
        return {
            'status': 'exported',
            'largest': {each.what: float(f'{each.largest:.2g}') for each in done.differences},
            'megabytes': round(file.stat().st_size / 1e6, 1),
            'seconds': round(time.perf_counter() - start, 1),
        }


def in_own_process(name: str) -> dict[str, Any]:
    """:func:`check` by ``--worker``."""
    command = [sys.executable, __file__, '--worker', name]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        return {'status': 'failed', 'why': done.stderr.strip()[-600:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    """Export what is missing; or, as ``--worker``, one config, its row on stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', default=[], help='configs whose name contains it')
    parser.add_argument('--out', type=Path, default=RESULTS / 'export_matrix.json')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args()
    paths = {name: path for name, path in leaves().items() if not name.startswith(NOT_MEANT)}
    if args.worker:
        print(json.dumps(check(paths[args.worker])))
        return 0
    results = Results(args.out, list(paths), {}, CODE, seed=0, repeats=1, spread=None)
    failed = False
    for name in chosen(list(paths), args.only):
        config = {'config': str(paths[name].relative_to(ROOT)), 'digest': digest(paths[name])}
        made = {row['name']: row for row in results.rows if row['status'] != 'failed'}
        if made.get(name, {}).get('digest') == config['digest']:
            continue
        row = in_own_process(name)
        failed |= row['status'] == 'failed'
        results.add({'name': name, **config, **row})
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
