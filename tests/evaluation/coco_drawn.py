"""Drawn persons in COCO's files, and detections near them. No pictures."""

import numpy as np


def scene(joints=17, images=6, seed=0, crowd=False, area=True):
    """Annotations and detections of 1 to 4 persons an image, boxes of 60 to 300 px."""
    rng = np.random.default_rng(seed)
    truth = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'person'}]}
    found = []
    for image in range(1, images + 1):
        truth['images'].append({'id': image, 'file_name': f'{image}.jpg'})
        truth['images'][-1] |= {'width': 640, 'height': 480}
        if crowd:
            truth['images'][-1]['crowdIndex'] = [0.05, 0.5, 0.9][image % 3]
        for _ in range(rng.integers(1, 5)):
            x, y, w, h = rng.uniform([0, 0, 60, 60], [300, 200, 300, 300])
            visible = rng.choice([0, 1, 2], joints, p=[0.2, 0.2, 0.6])
            xy = rng.uniform([x, y], [x + w, y + h], (joints, 2)) * (visible > 0)[:, None]
            person = {'id': len(truth['annotations']) + 1, 'image_id': image, 'category_id': 1}
            person |= {
                'bbox': [x, y, w, h],
                'iscrowd': 0,
                'num_keypoints': int((visible > 0).sum()),
            }
            person['keypoints'] = np.column_stack([xy, visible]).ravel().tolist()
            if area:
                person['area'] = 0.5 * w * h
            truth['annotations'].append(person)
            for spread in rng.choice([0.01, 0.04, 0.1], rng.integers(0, 3)):
                near = xy + rng.normal(0, spread * np.sqrt(w * h), xy.shape)
                scores = rng.uniform(0.1, 1, joints)
                entry = {'image_id': image, 'category_id': 1, 'score': float(rng.random())}
                entry['keypoints'] = np.column_stack([near, scores]).ravel().tolist()
                found.append(entry)
    return truth, found
