"""Model and data set have the same joints, asked when they meet and not in each step."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.hooks import Hook
from torch import nn

from rlepose_ext.errors import UserError
from rlepose_ext.registry import HOOKS

_OPTIONS = ('num_joints', 'num_keypoints', 'out_channels')
# Their numbers are those of coordinates, or of the root alone.
_OTHERS = {'MotionRegressionHead', 'TrajectoryRegressionHead'}


def check_joint_count(model: nn.Module, dataset: Any, training: bool) -> None:
    """Compare the joints of head and codec with those of a data set.

    Heads that are neither MMPose's nor ours are passed over: their numbers may mean other things.

    Args:
        model: a pose estimator, with ``head`` and ``test_cfg``.
        dataset: of MMPose, with ``metainfo``. A converter of joints in its pipeline counts.
        training: whether it is trained on.

    Raises:
        UserError: another number of joints in training, or in a test that mirrors images.
            Without mirroring a metric may compare some of the joints, and a warning says it.
    """
    head, count = getattr(model, 'head', None), _joints_of(dataset)
    if head is None or count is None or type(head).__name__ in _OTHERS:
        return
    for part in (head, getattr(head, 'decoder', None)):
        option = next((name for name in _OPTIONS if isinstance(getattr(part, name, None), int)), '')
        if not option or type(part).__module__.split('.')[0] not in ('mmpose', 'rlepose_ext'):
            continue
        expected = getattr(part, option)
        # three maps of a joint with UDP's offsets
        combined = getattr(getattr(part, 'decoder', None), 'heatmap_type', '') == 'combined'
        maps = 3 if option == 'out_channels' and combined else 1
        if expected != maps * count:
            message = (
                f'{type(part).__name__}: {option} is {expected}, which does not fit the {count} '
                f'joints of the data set {dataset.metainfo.get("dataset_name")!r}. Set {option} to '
                f'{maps * count}, or give the data set other metainfo.'
            )
            if training or (getattr(model, 'test_cfg', None) or {}).get('flip_test'):
                raise UserError(message)
            warnings.warn(message, stacklevel=2)


def _joints_of(dataset: Any) -> int | None:
    """Number of joints that a data set hands to the model."""
    from mmpose.datasets.transforms import KeypointConverter, SingleHandConverter

    count = getattr(dataset, 'metainfo', {}).get('num_keypoints')
    for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if isinstance(transform, (KeypointConverter, SingleHandConverter)):
            count = transform.num_keypoints
    return count


@HOOKS.register_module()
class JointCountHook(Hook):
    """:func:`check_joint_count` for each loop of a run, before it begins.

    Every run has it; it needs no entry in a config.
    """

    def before_run(self, runner: Any) -> None:
        """Check what ``train``, ``val`` or ``test`` of the runner has built."""
        model = getattr(runner.model, 'module', runner.model)
        for kind in ('train', 'val', 'test'):
            loader = getattr(getattr(runner, f'_{kind}_loop', None), 'dataloader', None)
            if loader is not None:
                check_joint_count(model, loader.dataset, training=kind == 'train')
