"""Results on a test set whose annotations are not public, as COCO's server takes them.

The server wants a zip with one JSON file, both named
``person_keypoints_<testset>_<name>_results``: a list of

.. code-block:: json

    {"image_id": 1, "category_id": 1, "keypoints": [x1, y1, v1, ...], "score": 0.9}

with 51 numbers in ``keypoints`` (image px; v is ignored and is to be 1). ``CocoMetric`` with
``format_only=True`` writes another name, indented, and each person's box. A box does change
something: the evaluation then takes a false detection's size from it instead of from the joints,
which moves the AP of medium and large persons.

Source: cocodataset.org, *Results Format* and *Upload*.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmpose.evaluation.metrics import CocoMetric

from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError
from rlepose_ext.evaluation.coco_files import check_results
from rlepose_ext.registry import METRICS

NUM_JOINTS = 17
# COCO recommends a tenth of a pixel, to keep files small; this is finer still.
DECIMALS = 2
_STEM = re.compile(r'person_keypoints_[a-z-]+\d{4}_[\w.-]+')


def submission_entry(image_id: int, keypoints: np.ndarray, score: float) -> dict:
    """One person as the server reads it.

    Args:
        image_id: COCO's number of the image.
        keypoints: image px, shape (17, 2) or more columns, which are left out.
        score: of the person.
    """
    joints = np.ones((len(keypoints), 3))
    joints[:, :2] = np.round(np.asarray(keypoints, dtype=float)[:, :2], DECIMALS)
    return {
        'image_id': int(image_id),
        'category_id': 1,
        'keypoints': joints.reshape(-1).tolist(),
        'score': float(score),
    }


def write_submission(prefix: str | Path, entries: list[dict], image_ids: Iterable[int]) -> Path:
    """Check the entries, write ``<prefix>_results.json`` and the zip of it.

    Files of an earlier run stay as they are until the new ones are complete.

    Args:
        prefix: folder and ``person_keypoints_<testset>_<name>``.
        entries: of :func:`submission_entry`.
        image_ids: what the test set consists of.

    Returns:
        The zip, which is what to upload.

    Raises:
        UserError: an entry is not what the server takes.
    """
    target = Path(f'{prefix}_results.json')
    check_results(entries, str(target), NUM_JOINTS, set(image_ids))
    text = json.dumps(entries, separators=(',', ':'))
    write_atomically(text.encode(), target)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr(target.name, text)
    archive = target.with_suffix('.zip')
    write_atomically(packed.getbuffer(), archive)
    return archive


@METRICS.register_module()
class CocoSubmission(CocoMetric):
    """``CocoMetric`` with ``format_only=True`` that writes what COCO's server takes.

    Scores and suppression of doubles are those of ``CocoMetric``.

    Args:
        ann_file: the test set's images, such as ``image_info_test-dev2017.json``.
        outfile_prefix: folder and ``person_keypoints_<testset>_<name>``, such as
            ``work_dirs/mine/person_keypoints_test-dev2017_mine``; ``_results.json`` and
            ``_results.zip`` are added.
        **kwargs: further arguments of ``CocoMetric``.

    Raises:
        UserError: another name than the server asks for; while writing, entries that it would
            refuse, such as those of a model with another number of joints.
    """

    def __init__(self, ann_file: str, outfile_prefix: str, **kwargs) -> None:
        name = Path(outfile_prefix).name
        if not _STEM.fullmatch(name) or name.endswith(('_results', '.json')):
            raise UserError(
                f'CocoSubmission: outfile_prefix ends in {name!r}. The server asks for '
                'person_keypoints_<testset>_<name>, such as person_keypoints_test-dev2017_hrnet; '
                '_results.json is added.'
            )
        if not kwargs.pop('format_only', True):
            raise UserError('CocoSubmission only writes; take CocoMetric to evaluate.')
        super().__init__(
            ann_file=ann_file, outfile_prefix=outfile_prefix, format_only=True, **kwargs
        )

    def results2json(self, keypoints: dict[int, list], outfile_prefix: str) -> str:
        """Write the persons of all images.

        Args:
            keypoints: of each image, persons with ``keypoints`` (17, 3) in image px, ``score``.
            outfile_prefix: as in the constructor.
        """
        entries = [
            submission_entry(image_id, person['keypoints'], person['score'])
            for image_id, persons in keypoints.items()
            for person in persons
        ]
        images = self.coco.getImgIds()
        archive = write_submission(outfile_prefix, entries, images)
        seen = len({entry['image_id'] for entry in entries})
        print_log(
            f'{archive}: {len(entries)} persons on {seen} of {len(images)} images, to upload at '
            'https://cocodataset.org/#upload',
            logger='current',
        )
        return str(archive)
