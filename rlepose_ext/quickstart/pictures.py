"""Pictures of a trained model at work: one per image, and a sheet of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmpose.apis import init_model
from mmpose.structures import PoseDataSample
from torch import nn

from rlepose_ext.inference.annotated import AnnotatedImage, draw_annotated, predict_annotated


def draw_predictions(
    config: Path, checkpoint: Path, images: Sequence[AnnotatedImage], folder: Path, device: str
) -> tuple[list[Path], list[list[PoseDataSample]], nn.Module]:
    """Predict all persons in their annotated boxes and draw them.

    Returns:
        The pictures, ``<folder>/sheet.png`` first; the predictions per image; the model.
    """
    model = init_model(str(config), str(checkpoint), device=device)
    samples = predict_annotated(model, images)
    folder.mkdir(parents=True, exist_ok=True)
    # The score of RLE is 1 - mean sigma: a threshold for heatmaps means nothing to it.
    pictures = draw_annotated(model, images, samples, folder, kpt_thr=0.0)
    page = folder / 'sheet.png'
    draw_sheet(pictures, page)
    return [page, *pictures], samples, model


def draw_sheet(pictures: Sequence[Path], target: Path, columns: int = 4, tile: int = 256) -> None:
    """One picture of many, each fitted into a square of ``tile`` px."""
    rows = -(-len(pictures) // columns)
    page = np.full((rows * tile, columns * tile, 3), 32, np.uint8)
    for index, path in enumerate(pictures):
        picture = cv2.imread(str(path))
        scale = tile / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y, x = index // columns * tile, index % columns * tile
        page[y : y + small.shape[0], x : x + small.shape[1]] = small
    if not cv2.imwrite(str(target), page):
        raise OSError(f'could not write {target}')
