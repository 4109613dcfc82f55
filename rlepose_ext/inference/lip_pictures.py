"""LIP's predictions as pictures: a dot per joint, labels in blue, predictions in red.

The colours are those of the baseline's own viewer. Lines between the joints are extra.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from rlepose_ext.annotations.lip import NUM_JOINTS, SKELETON
from rlepose_ext.errors import UserError
from rlepose_ext.inference.annotated import AnnotatedImage, predict_annotated, read_annotated

# blue, green, red
TRUTH, PREDICTION = (255, 0, 0), (0, 0, 255)


def draw_joints(
    image: np.ndarray,
    joints: np.ndarray,
    shown: np.ndarray,
    color: tuple[int, int, int],
    skeleton: bool = False,
) -> np.ndarray:
    """A copy of an image with one person's joints on it.

    Args:
        image: (H, W, 3) uint8, BGR.
        joints: (16, 2) image px.
        shown: (16,) boolean; a joint that is not shown has no lines either.
        color: BGR.
        skeleton: whether joints are connected.
    """
    image = image.copy()
    size = max(2, round(max(image.shape[:2]) / 120))
    shown = shown & np.isfinite(joints).all(-1)
    # OpenCV's coordinates are 32 bit; far outside is outside.
    points = np.clip(np.where(shown[:, None], joints, 0), -1e4, 1e4).round().astype(int)
    if skeleton:
        for a, b in SKELETON:
            if shown[a] and shown[b]:
                ends = points[a].tolist(), points[b].tolist()
                cv2.line(image, *ends, color, max(1, size // 2), cv2.LINE_AA)
    for point in points[shown]:
        cv2.circle(image, point.tolist(), size, color, -1, cv2.LINE_AA)
    return image


def validation_images(config: Config, count: int) -> list[AnnotatedImage]:
    """The first images of a config's validation set, with their labels.

    Raises:
        UserError: the annotation file is missing, or not of LIP's joints.
    """
    dataset = config.val_dataloader.dataset
    root = Path(dataset.get('data_root', ''))
    ann_file = root / dataset.ann_file
    images = read_annotated(ann_file, root / dataset.data_prefix['img'])[:count]
    joints = {image.joints.shape[1] for image in images}
    if joints != {NUM_JOINTS}:
        raise UserError(
            f'{ann_file}: expected persons with {NUM_JOINTS} joints, found {sorted(joints)}. Make '
            'the file with `rlepose convert lip`.'
        )
    return images


def plain_images(paths: Sequence[str | Path]) -> list[AnnotatedImage]:
    """Images without labels; the person fills each.

    Raises:
        UserError: a file is missing or no image.
    """
    images = []
    for path in map(Path, paths):
        picture = cv2.imread(str(path))
        if picture is None:
            raise UserError(f'image {path} does not exist, or is no image that OpenCV can read.')
        height, width = picture.shape[:2]
        box = np.array([[0, 0, width, height]], float)
        nothing = np.zeros((1, NUM_JOINTS, 2)), np.zeros((1, NUM_JOINTS), bool)
        images.append(AnnotatedImage(path, box, *nothing))
    return images


def write_pictures(
    model: object,
    images: Sequence[AnnotatedImage],
    out: str | Path,
    threshold: float = 0.0,
    truth: bool = False,
    skeleton: bool = False,
) -> list[Path]:
    """Predict and draw.

    Args:
        model: from ``mmpose.apis.init_model``.
        images: from :func:`validation_images` or :func:`plain_images`.
        out: folder to write to.
        threshold: joints with a lower score are left out.
        truth: whether labels are drawn, below the predictions.
        skeleton: whether joints are connected.

    Returns:
        ``<out>/<name>.png`` of each image; of equal names the later ones are numbered.

    Raises:
        UserError: a picture would take the place of an image, or cannot be written.
    """
    targets = _targets([image.path for image in images], Path(out))
    for image, target in zip(images, targets, strict=True):
        if target.resolve() in {other.path.resolve() for other in images}:
            raise UserError(f'{target} would overwrite image {image.path}; choose another folder')
    for image, target in zip(images, targets, strict=True):
        (samples,) = predict_annotated(model, [image])
        picture = cv2.imread(str(image.path))
        if truth:
            for joints, labelled in zip(image.joints, image.labelled, strict=True):
                picture = draw_joints(picture, joints, labelled, TRUTH, skeleton)
        for sample in samples:
            found = sample.pred_instances
            shown = found.keypoint_scores[0] >= threshold
            picture = draw_joints(picture, found.keypoints[0], shown, PREDICTION, skeleton)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(target), picture):
            raise UserError(f'{target} cannot be written')
    return targets


def _targets(paths: Sequence[Path], out: Path) -> list[Path]:
    taken: set[str] = set()
    targets = []
    for path in paths:
        name, number = path.stem, 2
        while name in taken:
            name, number = f'{path.stem}_{number}', number + 1
        taken.add(name)
        targets.append(out / f'{name}.png')
    return targets
