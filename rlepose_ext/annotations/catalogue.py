"""The data sets that the configs use: their files below ``RLEPOSE_DATA``, and their sizes.

Folders and names are those that MMPose's data set pages give. Counts stand here only where the
data set's paper or its users agree on them; they are those of the whole public files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlepose_ext.errors import UserError


@dataclass(frozen=True)
class Split:
    """One annotation file and the folder of its images, relative to ``RLEPOSE_DATA``.

    Attributes:
        name: such as ``'train'``.
        annotations: the file.
        images: the folder.
        num_images: of the public file, None where it is not certain.
        num_annotations: the same for its annotations.
        needed: whether a config of this project or MMPose's standard ones fail without it.
        images_only: whether the public file has images and no annotations.
        also_images: another name of the folder, which some copies of the data set have.
    """

    name: str
    annotations: str
    images: str
    num_images: int | None = None
    num_annotations: int | None = None
    needed: bool = True
    images_only: bool = False
    also_images: str | None = None

    def image_folder(self, root: Path) -> Path:
        """The folder of the images below ``root``: that of the two names which is there."""
        if self.also_images and (root / self.also_images).is_dir():
            return root / self.also_images
        return root / self.images


@dataclass(frozen=True)
class ExtraFile:
    """A file that is not annotations of poses, such as detected boxes."""

    path: str
    purpose: str
    needed: bool = True


@dataclass(frozen=True)
class KnownSet:
    """A data set.

    Attributes:
        name: of the command line.
        title: what it is.
        metainfo: for :func:`rlepose_ext.annotations.metainfo.load_metainfo`.
        num_joints: K.
        splits: annotation files.
        source: where to get it, and what to do then.
        extras: other files.
    """

    name: str
    title: str
    metainfo: str
    num_joints: int
    splits: tuple[Split, ...]
    source: str
    extras: tuple[ExtraFile, ...] = ()


WFLW_SUBSETS = {
    'largepose': 326,
    'expression': 314,
    'illumination': 698,
    'makeup': 206,
    'occlusion': 736,
    'blur': 773,
}
_OPENMMLAB = 'https://download.openmmlab.com/mmpose/datasets'
_HRNET = 'linked in https://github.com/HRNet/HRNet-Human-Pose-Estimation'
_WFLW = 'wflw/annotations/face_landmarks_wflw'
_AIC_TRAIN = 'aic/ai_challenger_keypoint_train_20170902/keypoint_train_images_20170902'
_AIC_TRAIN_TOO = 'aic/ai_challenger_keypoint_train_20170909/keypoint_train_images_20170902'
_AIC_VAL = 'aic/ai_challenger_keypoint_validation_20170911/keypoint_validation_images_20170911'

CATALOGUE = {
    known.name: known
    for known in (
        KnownSet(
            'coco',
            'COCO 2017 keypoints, people in everyday scenes',
            'mmpose:coco',
            17,
            (
                Split(
                    'train',
                    'coco/annotations/person_keypoints_train2017.json',
                    'coco/train2017',
                    118_287,
                    262_465,
                ),
                Split(
                    'val',
                    'coco/annotations/person_keypoints_val2017.json',
                    'coco/val2017',
                    5_000,
                    11_004,
                ),
                Split(
                    'test-dev',
                    'coco/annotations/image_info_test-dev2017.json',
                    'coco/test2017',
                    20_288,
                    needed=False,
                    images_only=True,
                ),
            ),
            'https://cocodataset.org/#download: 2017 train and val images, train/val annotations; '
            'for submissions to test-dev also 2017 test images and testing image info',
            (
                ExtraFile(
                    'coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json',
                    f'detected boxes (person AP 56.4) for validation and test; {_HRNET}',
                ),
                ExtraFile(
                    'coco/person_detection_results/'
                    'COCO_test-dev2017_detections_AP_H_609_person.json',
                    f'detected boxes (person AP 60.9) for submissions to test-dev; {_HRNET}',
                    needed=False,
                ),
            ),
        ),
        KnownSet(
            'aic',
            'AI Challenger 2017, people',
            'mmpose:aic',
            14,
            (
                Split(
                    'train',
                    'aic/annotations/aic_train.json',
                    _AIC_TRAIN,
                    210_000,
                    378_352,
                    also_images=_AIC_TRAIN_TOO,
                ),
                Split('val', 'aic/annotations/aic_val.json', _AIC_VAL, 30_000, needed=False),
            ),
            'https://github.com/AIChallenger/AI_Challenger_2017; annotations from '
            f'{_OPENMMLAB}/aic_annotations.tar, or by `rlepose convert aic` from the original ones',
        ),
        KnownSet(
            'wflw',
            'WFLW, faces in six kinds of difficulty',
            'mmpose:wflw',
            98,
            (
                Split('train', f'{_WFLW}_train.json', 'wflw/images', None, 7_500),
                Split('test', f'{_WFLW}_test.json', 'wflw/images', None, 2_500),
                *(
                    Split(name, f'{_WFLW}_test_{name}.json', 'wflw/images', None, count, False)
                    for name, count in WFLW_SUBSETS.items()
                ),
            ),
            'images from https://wywu.github.io/projects/LAB/WFLW.html; annotations from '
            f'{_OPENMMLAB}/wflw_annotations.tar, or by `rlepose convert wflw` from the lists there',
        ),
        KnownSet(
            'cofw',
            'COFW, occluded faces',
            'mmpose:cofw',
            29,
            (
                Split('train', 'cofw/annotations/cofw_train.json', 'cofw/images', 1_345, 1_345),
                Split('test', 'cofw/annotations/cofw_test.json', 'cofw/images', 507, 507),
            ),
            'http://www.vision.caltech.edu/xpburgos/ICCV13/Data/COFW_color.zip; then '
            "parse_cofw_dataset.py of MMPose's tools/dataset_converters",
        ),
        KnownSet(
            'crowdpose',
            'CrowdPose, people close together',
            'mmpose:crowdpose',
            14,
            (
                Split(
                    'trainval',
                    'crowdpose/annotations/mmpose_crowdpose_trainval.json',
                    'crowdpose/images',
                    12_000,
                ),
                Split(
                    'test',
                    'crowdpose/annotations/mmpose_crowdpose_test.json',
                    'crowdpose/images',
                    8_000,
                ),
            ),
            'images from https://github.com/Jeff-sjtu/CrowdPose; annotations and boxes from '
            f'{_OPENMMLAB}/crowdpose_annotations.tar',
            (
                ExtraFile(
                    'crowdpose/annotations/det_for_crowd_test_0.1_0.5.json',
                    'detected boxes for the test',
                ),
            ),
        ),
        KnownSet(
            'mpii',
            'MPII Human Pose, activities',
            'mmpose:mpii',
            16,
            (
                Split('train', 'mpii/annotations/mpii_train.json', 'mpii/images', None, 22_246),
                Split('val', 'mpii/annotations/mpii_val.json', 'mpii/images', None, 2_958),
            ),
            'images from http://human-pose.mpi-inf.mpg.de; annotations from '
            f'{_OPENMMLAB}/mpii_annotations.tar',
            (ExtraFile('mpii/annotations/mpii_gt_val.mat', 'head boxes for PCKh'),),
        ),
        KnownSet(
            'ochuman',
            'OCHuman, heavily occluded people, for evaluation only',
            'mmpose:ochuman',
            17,
            tuple(
                Split(
                    name,
                    f'ochuman/annotations/ochuman_coco_format_{name}_range_0.00_1.00.json',
                    'ochuman/images',
                    images,
                )
                for name, images in (('val', 2_500), ('test', 2_231))
            ),
            'https://github.com/liruilong940607/OCHumanApi',
        ),
        KnownSet(
            'lip',
            'LIP, one person per image',
            'ours:lip_topdown',
            16,
            (
                Split(
                    'train', 'lip/annotations/lip_train.json', 'lip/train_images', 30_462, 30_462
                ),
                Split('val', 'lip/annotations/lip_val.json', 'lip/val_images', 10_000, 10_000),
            ),
            'http://sysu-hcp.net/lip/overview.php; annotations by `rlepose convert lip` from its '
            'csv',
        ),
        KnownSet(
            'lsp',
            'LSP or LSP extended, athletes, one person an image',
            'ours:lsp_topdown',
            14,
            (
                Split('train', 'lsp/lsp_train.json', 'lsp/images'),
                Split('val', 'lsp/lsp_val.json', 'lsp/images'),
            ),
            'https://sam.johnson.io/research/lspet.html; annotations by `rlepose convert lsp`',
        ),
        KnownSet(
            'faces68',
            'frames of YouTube Faces with 68 landmarks',
            'ours:faces68_topdown',
            68,
            (
                Split('train', 'faces68/faces68_train.json', 'faces68/images'),
                Split('val', 'faces68/faces68_val.json', 'faces68/images'),
            ),
            'https://github.com/udacity/P1_Facial_Keypoints; annotations by '
            '`rlepose convert faces68`',
        ),
    )
}


def known_set(name: str) -> KnownSet:
    """The entry of that name.

    Raises:
        UserError: there is none.
    """
    if name not in CATALOGUE:
        raise UserError(
            f'no data set {name!r} is known; there are {", ".join(CATALOGUE)}. For your own: '
            'rlepose data check --ann FILE --images DIR --metainfo FILE.'
        )
    return CATALOGUE[name]
