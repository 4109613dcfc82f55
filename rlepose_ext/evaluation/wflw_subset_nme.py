r"""Normalised mean error on WFLW's test set and on its six subsets, from one test run.

.. math:: NME = \frac{1}{|S|} \sum_{(n, k) \in S} \frac{\|\hat p_{nk} - p_{nk}\|}{d_n}

where :math:`S` are the labelled landmarks of the faces that are counted and :math:`d_n` is
the distance between the outer eye corners of face :math:`n`. A subset (large pose,
illumination, ...) is a list of test faces, so one pass over the test set has all that the
columns need: they differ in the rows of the sum only.

Source: Wu et al., *Look at Boundary: A Boundary-Aware Face Alignment Algorithm*, CVPR 2018,
section 4 (data set, subsets and the two eye corners as the scale).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from logging import WARNING
from pathlib import Path, PurePosixPath

import numpy as np
from mmengine.logging import print_log
from mmpose.evaluation.metrics import NME

from rlepose_ext.annotations.coco_file import check_coco
from rlepose_ext.errors import UserError
from rlepose_ext.registry import METRICS

# Greatest mean distance, image px, between the landmarks of one face in two files. The files
# hold the same numbers, rounded differently at most; another face is tens of pixels away.
SAME_FACE = 1.0


def file_name(path: str) -> str:
    """The last part of a path in an annotation file or a sample."""
    return PurePosixPath(str(path).replace('\\', '/')).name


def read_faces(path: str | Path) -> list[tuple[str, np.ndarray]]:
    """The faces that a subset's annotation file lists.

    Args:
        path: annotations in COCO's format, as MMPose publishes them for WFLW.

    Returns:
        For each face the image's file name, and its landmarks (K, 3): x, y in image px,
        visibility.

    Raises:
        UserError: the file is no such JSON, or lists no face.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"subset file {path} cannot be read as JSON ({error}). Expected MMPose's "
            'face_landmarks_wflw_test_<subset>.json; download it again, or unpack it first.'
        ) from error
    check_coco(content, str(path))
    images = {image['id']: image for image in content['images'] if 'id' in image}
    faces = []
    for ann in content.get('annotations', []):
        image = images.get(ann['image_id'], {})
        if not ann.get('keypoints') or 'file_name' not in image:
            raise UserError(
                f'annotation {ann["id"]} in subset file {path} has no keypoints, or its image '
                f'{ann["image_id"]} no file_name. Expected a face with landmarks in every '
                "annotation, as in MMPose's face_landmarks_wflw_test_<subset>.json."
            )
        try:
            landmarks = np.asarray(ann['keypoints'], dtype=float).reshape(-1, 3)
        except (TypeError, ValueError) as error:
            raise UserError(
                f'annotation {ann["id"]} in subset file {path} has keypoints that are no numbers '
                f'({error}). Expected x, y and visibility of each landmark.'
            ) from error
        faces.append((file_name(image['file_name']), landmarks))
    if not faces:
        raise UserError(
            f'subset file {path} lists no annotation. Expected the faces of the subset; leave '
            'the entry out of `subsets` to do without its column.'
        )
    return faces


def match_faces(
    faces: Sequence[tuple[str, np.ndarray]], tested: Sequence[tuple[str, np.ndarray]], path: str
) -> list[int]:
    """Find the faces of a subset among those that were tested.

    An image may hold several faces, and numbers of annotations differ between files. So a
    face is known by the file name of its image and the landmarks themselves: the nearest
    tested face of that image, not yet taken, within :data:`SAME_FACE`.

    Args:
        faces: file name and landmarks (K, 3) in image px, as from :func:`read_faces`.
        tested: file name and true landmarks (K, 2) in image px of each tested face.
        path: the subset's file, for messages.

    Returns:
        For each face its index in ``tested``; no index comes twice.

    Raises:
        UserError: a face that was not tested, or one with another number of landmarks.
    """
    in_image = defaultdict(list)
    for index, (name, _) in enumerate(tested):
        in_image[name].append(index)
    found, lost = [], []
    for name, landmarks in faces:
        rest = in_image[name]
        truth = [tested[index][1] for index in rest]
        if any(len(points) != len(landmarks) for points in truth):
            raise UserError(
                f'a face of {name} has {len(landmarks)} landmarks in subset file {path}, but '
                f'{len(truth[0])} in the test set. Give the files of one data set to both.'
            )
        distances = [np.linalg.norm(points - landmarks[:, :2], axis=-1).mean() for points in truth]
        if distances and min(distances) < SAME_FACE:
            found.append(rest.pop(int(np.argmin(distances))))
        else:
            lost.append(name)
    if lost:
        raise UserError(
            f'{len(lost)} of the {len(faces)} faces in subset file {path} are not among the '
            f'{len(tested)} that were tested; the first is one of image {lost[0]}. Expected a '
            'part of the test set: test on the whole of face_landmarks_wflw_test.json, or leave '
            'the entry out of `subsets`.'
        )
    return found


@METRICS.register_module()
class WFLWSubsetNME(NME):
    """MMPose's ``NME``, and the same for each subset: the columns of published WFLW tables.

    The results are ``NME`` over all faces and ``NME_<name>`` for each entry of ``subsets``, as
    fractions (0.0394 is published as 3.94).

    Args:
        subsets: name of the column to its annotation file, such as
            ``pose='data/wflw/annotations/face_landmarks_wflw_test_largepose.json'``. A file
            that does not exist is named in a warning and its column is left out.
        norm_mode: as in MMPose's ``NME``.
        keypoint_indices: the two landmarks whose distance is the unit; WFLW's outer eye
            corners by default.
        **kwargs: further arguments of MMPose's ``NME``.

    Raises:
        UserError: ``subsets`` is no mapping of names to paths, or a file cannot be used.
    """

    def __init__(
        self,
        subsets: Mapping[str, str],
        norm_mode: str = 'keypoint_distance',
        keypoint_indices: Sequence[int] | None = (60, 72),
        **kwargs,
    ) -> None:
        super().__init__(norm_mode=norm_mode, keypoint_indices=keypoint_indices, **kwargs)
        valid = isinstance(subsets, Mapping) and all(
            isinstance(item, (str, Path)) for pair in subsets.items() for item in pair
        )
        if not valid:
            raise UserError(
                'WFLWSubsetNME expects subsets=dict(pose=PATH, blur=PATH, ...), a column name '
                f'and an annotation file each, but got {subsets!r}.'
            )
        self.paths = {name: str(path) for name, path in subsets.items()}
        absent = {name: path for name, path in self.paths.items() if not Path(path).exists()}
        if absent:
            columns = ', '.join(f'NME_{name} ({path})' for name, path in absent.items())
            print_log(
                f'Left out, because their files do not exist: {columns}. They are among '
                "the annotations that MMPose's documentation links for WFLW.",
                logger='current',
                level=WARNING,
            )
        # Read now: a damaged file should not be found out after the test.
        self.faces = {
            name: read_faces(path) for name, path in self.paths.items() if name not in absent
        }

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        """Keep what stock keeps of each face, and the file name of its image."""
        before = len(self.results)
        super().process(data_batch, data_samples)
        # Results of several processes are gathered: the name must travel with its face.
        for result, sample in zip(self.results[before:], data_samples, strict=True):
            if 'img_path' not in sample:
                raise UserError(
                    'WFLWSubsetNME knows a face by the file of its image, but the sample has no '
                    "img_path. Leave 'img_path' in the meta_keys of PackPoseInputs."
                )
            result['file_name'] = file_name(sample['img_path'])

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``NME`` over all ``results``, then ``NME_<name>`` over the rows of each subset."""
        metrics = super().compute_metrics(results)
        tested = [(result['file_name'], result['gt_coords'][0]) for result in results]
        for name, faces in self.faces.items():
            rows = [results[index] for index in match_faces(faces, tested, self.paths[name])]
            metrics[f'NME_{name}'] = super().compute_metrics(rows)['NME']
        return metrics
