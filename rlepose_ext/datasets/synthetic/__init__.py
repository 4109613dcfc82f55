"""Drawn people with COCO labels: a data set for anybody who has none at hand."""

from rlepose_ext.datasets.synthetic.baseline import mean_pose, mean_pose_baseline
from rlepose_ext.datasets.synthetic.clip import draw_clip
from rlepose_ext.datasets.synthetic.config import GENERATOR_VERSION, SyntheticPeopleConfig
from rlepose_ext.datasets.synthetic.scene import draw_image
from rlepose_ext.datasets.synthetic.sheet import contact_sheet
from rlepose_ext.datasets.synthetic.writer import DatasetPaths, draw_one, write_dataset

__all__ = [
    'GENERATOR_VERSION',
    'DatasetPaths',
    'SyntheticPeopleConfig',
    'contact_sheet',
    'draw_clip',
    'draw_image',
    'draw_one',
    'mean_pose',
    'mean_pose_baseline',
    'write_dataset',
]
