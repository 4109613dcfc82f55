"""Labels as COCO keypoint JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rlepose_ext.annotations.coco_file import check_coco, flat
from rlepose_ext.errors import UserError
from rlepose_ext.own_data.labels import Item, Labels


def read_coco(path: Path) -> Labels:
    """Read one file."""
    content = json.loads(path.read_bytes())
    check_coco(content, path)
    annotations = content.get('annotations', [])
    posed = [ann for ann in annotations if ann.get('keypoints')]
    posed = [ann for ann in posed if not ann.get('iscrowd')]
    categories = content.get('categories', [])
    named = [c for c in categories if c.get('keypoints')]
    if len({tuple(category['keypoints']) for category in named}) > 1:
        raise UserError(
            f'{path} has categories with different joints: '
            f'{", ".join(str(category.get("name")) for category in named)}. Keep one of them.'
        )
    joints = [str(name) for name in named[0]['keypoints']] if named else []
    count = len(joints) or max((len(flat(ann['keypoints'])) // 3 for ann in posed), default=0)
    joints = joints or [f'joint_{k}' for k in range(count)]
    labels = Labels(path, 'coco', joints=joints)
    _link(labels, named[0].get('skeleton') or [] if named else [])
    images = {image['id']: str(image['file_name']) for image in content['images']}
    for image in content['images']:
        labels.add_size(str(image['file_name']), image.get('width'), image.get('height'))
    bare = sum(not ann.get('keypoints') for ann in annotations)
    if bare:
        labels.notes.append(f'{bare} of {len(annotations)} annotations have no keypoints')
    classes = {c.get('id'): str(c.get('name', c.get('id'))) for c in categories}
    for ann in posed:
        numbers = flat(ann['keypoints'])
        if ann['image_id'] not in images:
            labels.problems.append(f'annotation {ann["id"]} is of no image that is listed')
        elif len(numbers) != 3 * count:
            labels.problems.append(
                f'annotation {ann["id"]} has {len(numbers) / 3:g} joints, expected {count}'
            )
        else:
            triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
            item = Item(images[ann['image_id']], dict(zip(joints, triples, strict=True)))
            item.box = tuple(ann['bbox']) if ann.get('bbox') else None
            category = ann.get('category_id')
            item.label = classes.get(category, f'category {category}')
            labels.items.append(item)
    return labels


def _link(labels: Labels, skeleton: Sequence[Sequence[int]]) -> None:
    """Take over links; COCO numbers joints from 1, some tools from 0."""
    links = [(int(a), int(b)) for a, b in skeleton]
    ends = {end for link in links for end in link}
    first = 0 if 0 in ends else 1
    wrong = sorted(ends - set(range(first, first + len(labels.joints))))
    if wrong:
        raise UserError(
            f'{labels.source} has a skeleton with the joint {wrong[0]}, expected numbers from '
            f'{first} to {first + len(labels.joints) - 1}; correct it, or remove the skeleton.'
        )
    if links and not first:
        labels.notes.append('the skeleton was read as numbered from 0 (COCO numbers from 1)')
    labels.links = [(labels.joints[a - first], labels.joints[b - first]) for a, b in links]
