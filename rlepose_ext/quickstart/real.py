"""The second summary: a published model on real photographs, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

from rlepose_ext.quickstart.summary import device, shorten, write_json
from rlepose_ext.resources import resource

CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
WEIGHTS = 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
PHOTOGRAPHS = 'data/mmpose_samples/coco'


def shared_folder() -> Path:
    """``RLEPOSE_SHARED``, by default ``../shared`` as seen from where the command runs."""
    return Path(os.environ.get('RLEPOSE_SHARED', '../shared')).expanduser()


def draw_real_images(out: Path) -> Path | None:
    """Convert MMPose_Clean's RLE model and draw it on annotated COCO photographs.

    Args:
        out: the quickstart's folder; writes ``real/`` and ``summary_real.json`` there.

    Returns:
        The summary, or ``None`` where the photographs or the weights are absent.
    """
    shared = shared_folder()
    weights, photographs = shared / WEIGHTS, shared / PHOTOGRAPHS
    if not (weights.is_file() and photographs.is_dir()):
        return None
    print(f'\n[real] the converted MMPose_Clean model on photographs of {photographs}', flush=True)
    from mmengine.config import Config

    from rlepose_ext.convert.files import read_state_dict, write_checkpoint
    from rlepose_ext.convert.mmpose_clean import convert_model
    from rlepose_ext.inference.annotated import mean_oks, read_annotated
    from rlepose_ext.quickstart.pictures import draw_predictions

    folder = out.resolve() / 'real'
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / 'rle_mobilenetv2-050_192x192.pth'
    write_checkpoint(
        checkpoint, convert_model(read_state_dict(weights)), {'source': 'MMPose_Clean'}
    )
    config = resource(CONFIG)
    images = read_annotated(photographs / 'test_coco.json', photographs)
    pictures, samples, model = draw_predictions(config, checkpoint, images, folder, device())
    similarity = mean_oks(images, samples, model.dataset_meta['sigmas'])
    summary = {
        'metrics': {'mean_oks': round(similarity, 4)},
        'persons': sum(len(image.boxes) for image in images),
        'flip_test': bool(Config.fromfile(config).model.test_cfg.flip_test),
        'checkpoint': str(checkpoint),
        'images': [str(picture) for picture in pictures],
    }
    target = out.resolve() / 'summary_real.json'
    write_json(target, summary)
    print(
        f'  mean OKS of {summary["persons"]} persons in their annotated boxes: {similarity:.3f}\n'
        f'  pictures: {shorten(pictures[0])}\n  summary:  {shorten(target)}',
        flush=True,
    )
    return target
