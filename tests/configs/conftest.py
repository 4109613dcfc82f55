"""Miniature data sets: drawn people in COCO's files, drawn faces in those of the face sets."""

import json

import cv2
import numpy as np
import pytest

from rlepose_ext.datasets.synthetic import write_dataset

# folder, landmarks, annotation files, splits
FACES = (
    ('wflw', 98, 'annotations/face_landmarks_wflw_{}.json', ('train', 'test')),
    ('cofw', 29, 'annotations/cofw_{}.json', ('train', 'test')),
    ('faces68', 68, 'faces68_{}.json', ('train', 'val')),
)


@pytest.fixture(scope='session')
def miniature(tmp_path_factory):
    """A data root (``RLEPOSE_DATA``) with coco/, wflw/, cofw/ and faces68/."""
    folder = tmp_path_factory.mktemp('miniature')
    draw_coco(folder)
    for name, landmarks, file, splits in FACES:
        draw_faces(folder / name, landmarks, file, splits)
    annotations = folder / 'wflw/annotations'
    faces = (annotations / 'face_landmarks_wflw_test.json').read_text()
    (annotations / 'face_landmarks_wflw_test_blur.json').write_text(faces)
    return folder


def draw_coco(folder):
    """Drawn people in COCO's folders and files, detections included."""
    drawn = write_dataset(folder / 'drawn', 6, 4, seed=0)
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


def draw_faces(folder, landmarks, file, splits):
    """Four images per split, dots on grey, with the centre and scale that WFLW has."""
    (folder / 'images').mkdir(parents=True)
    rng = np.random.default_rng(landmarks)
    for split in splits:
        images, annotations = [], []
        for number in range(1, 5):
            points = rng.uniform(30, 130, (landmarks, 2))
            picture = np.full((160, 160, 3), 90, np.uint8)
            for index, point in enumerate(points):
                color = (2 * index, 255 - 2 * index, 40 * number)
                cv2.circle(picture, np.round(point).astype(int).tolist(), 3, color, -1)
            name = f'{split}{number}.jpg'
            cv2.imwrite(str(folder / 'images' / name), picture)
            images.append({'id': number, 'file_name': name, 'width': 160, 'height': 160})
            keypoints = np.column_stack([points, np.full(landmarks, 2.0)]).ravel().tolist()
            person = {'id': number, 'image_id': number, 'category_id': 1, 'iscrowd': 0}
            person |= {'keypoints': keypoints, 'num_keypoints': landmarks, 'area': 10000.0}
            person |= {'bbox': [30.0, 30.0, 100.0, 100.0], 'center': [80.0, 80.0], 'scale': 0.6}
            annotations.append(person)
        categories = [{'id': 1, 'name': 'face'}]
        content = {'images': images, 'annotations': annotations, 'categories': categories}
        path = folder / file.format(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
