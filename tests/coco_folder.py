"""Drawn people in COCO's folders and files."""

import json
from pathlib import Path

from rlepose_ext.datasets.synthetic import write_dataset


def write_coco_folder(folder: Path, train: int, val: int) -> Path:
    """Fill ``folder`` as a data root (``RLEPOSE_DATA``) with coco/, detections included."""
    drawn = write_dataset(folder / 'drawn', train, val, seed=0)
    coco = folder / 'coco'
    for name in ('annotations', 'person_detection_results'):
        (coco / name).mkdir(parents=True)
    for split, source, images in (
        ('train', drawn.train_json, drawn.train_images),
        ('val', drawn.val_json, drawn.val_images),
    ):
        (coco / f'annotations/person_keypoints_{split}2017.json').write_text(source.read_text())
        (coco / f'{split}2017').symlink_to(images)
    boxes = [
        {'image_id': p['image_id'], 'category_id': 1, 'bbox': p['bbox'], 'score': 0.9}
        for p in json.loads(drawn.val_json.read_text())['annotations']
    ]
    detections = coco / 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
    detections.write_text(json.dumps(boxes))
    return folder
