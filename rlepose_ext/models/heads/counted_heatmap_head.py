"""MMPose's heatmap head with an error for labels and flip pairs of other joints."""

from typing import Any

from mmpose.models.heads import HeatmapHead
from torch import Tensor

from rlepose_ext.models.heads.joint_count import check_joint_count


class CountedHeatmapHead(HeatmapHead):
    """Counts joints before MMPose's code meets another number of them; the rest is MMPose's."""

    def predict(self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None) -> Any:
        """As MMPose's; the flip test averages what :meth:`forward` gives.

        Raises:
            UserError: with ``flip_test``, flip pairs of another number of joints.
        """
        test_cfg = test_cfg or {}
        if test_cfg.get('flip_test', False):
            pairs = batch_data_samples[0].metainfo['flip_indices']
            check_joint_count(self, 'out_channels', 'flip_indices of the metainfo', len(pairs))
        return super().predict(feats, batch_data_samples, test_cfg)

    def loss(
        self, feats: tuple[Tensor, ...], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """As MMPose's: ``loss_kpt`` between what :meth:`forward` gives and labels, ``acc_pose``.

        Raises:
            UserError: the labels have another number of joints.
        """
        count = batch_data_samples[0].gt_fields.heatmaps.shape[0]
        check_joint_count(self, 'out_channels', 'heatmaps of the labels', count)
        return super().loss(feats, batch_data_samples, train_cfg or {})
