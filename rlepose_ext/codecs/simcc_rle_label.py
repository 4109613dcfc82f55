"""Labels of the SimCC + RLE hybrid: one joint as two distributions and as one point.

SimCC (Li et al., *SimCC: a Simple Coordinate Classification Perspective for Human Pose
Estimation*, ECCV 2022, arXiv 2107.03332) cuts the width W and the height H of the crop into
W s and H s bins, s per pixel, and asks two classifiers in which bin the joint lies. The label is
a Gaussian over the bins instead of a one: a bin beside the right one is nearly right.

RLE regresses the point itself, normalised by the crop. The hybrid trains both at once, so it
needs both labels, and since they live on one grid (bin i is x = i / s in input px, i / (W s)
normalised), one can be read from the other: see :mod:`rlepose_ext.models.heads.simcc_rle`.
"""

from collections.abc import Sequence

import numpy as np
from mmpose.codecs import RegressionLabel, SimCCLabel
from mmpose.codecs.base import BaseKeypointCodec

from rlepose_ext.checks import check_positive, check_size
from rlepose_ext.errors import UserError
from rlepose_ext.registry import KEYPOINT_CODECS

# Farther out, in input px, a label is a mistake, and its bin need not fit an integer.
MAX_DISTANCE = 1e6


@KEYPOINT_CODECS.register_module()
class SimCCRLELabel(BaseKeypointCodec):
    """MMPose's ``SimCCLabel`` and ``RegressionLabel`` of the same joints.

    The two disagree on which joints count, and each keeps its own rule. A joint up to three
    sigma outside the crop still shows the tail of its Gaussian: ``SimCCLabel`` gives it
    weight 1. As a point it is out of reach: ``RegressionLabel`` gives it weight 0.

    Args:
        input_size: width and height of the crop, input px.
        sigma: standard deviation of the Gaussian labels in bins; one number, or x and y.
        simcc_split_ratio: s, bins per pixel.
        smoothing_type: 'gaussian', or 'standard' for label smoothing.
        label_smooth_weight: mass that 'standard' spreads over the wrong bins.
        normalize: Gaussians of sum 1 (of peak 1 otherwise).
        use_dark: refine the greatest bin by a Taylor expansion (DARK).

    Raises:
        UserError: sizes, sigma or bins per pixel are not positive, or the crop is not a whole
            number of bins.
    """

    label_mapping_table = {
        'keypoint_x_labels': 'keypoint_x_labels',
        'keypoint_y_labels': 'keypoint_y_labels',
        'keypoint_labels': 'keypoint_labels',
        'keypoint_weights': 'keypoint_weights',
        'coord_weights': 'coord_weights',
    }

    def __init__(
        self,
        input_size: tuple[int, int],
        sigma: float | Sequence[float] = 6.0,
        simcc_split_ratio: float = 2.0,
        smoothing_type: str = 'gaussian',
        label_smooth_weight: float = 0.0,
        normalize: bool = True,
        use_dark: bool = False,
    ) -> None:
        super().__init__()
        check_size('SimCCRLELabel', input_size=input_size)
        check_positive('SimCCRLELabel', simcc_split_ratio=simcc_split_ratio)
        for side in input_size:
            bins = side * simcc_split_ratio
            if bins < 1 or bins != int(bins):
                raise UserError(
                    f'SimCCRLELabel: {side} px at {simcc_split_ratio:g} bins per pixel are '
                    f'{bins:g} bins, expected a whole number. Change simcc_split_ratio or '
                    f'input_size {tuple(input_size)}.'
                )
        if not isinstance(sigma, Sequence):
            check_positive('SimCCRLELabel', sigma=sigma)
        elif isinstance(sigma, str) or len(sigma) != 2:
            raise UserError(f'SimCCRLELabel: sigma is {sigma!r}, expected one number, or x and y.')
        else:
            check_positive('SimCCRLELabel', sigma_x=sigma[0], sigma_y=sigma[1])
        self.simcc = SimCCLabel(
            tuple(input_size),
            smoothing_type=smoothing_type,
            sigma=tuple(sigma) if isinstance(sigma, Sequence) else sigma,
            simcc_split_ratio=simcc_split_ratio,
            label_smooth_weight=label_smooth_weight,
            normalize=normalize,
            use_dark=use_dark,
        )
        self.regression = RegressionLabel(tuple(input_size))
        self.input_size = self.simcc.input_size
        self.simcc_split_ratio = simcc_split_ratio
        self.sigma = self.simcc.sigma

    def encode(
        self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Make both labels.

        Args:
            keypoints: input px, shape (N, K, 2).
            keypoints_visible: shape (N, K); all are visible by default.

        Returns:
            - ``keypoint_x_labels`` (N, K, W s) and ``keypoint_y_labels`` (N, K, H s);
            - ``keypoint_labels`` (N, K, 2), normalised. A label that is not finite stays so,
              for :class:`rlepose_ext.models.losses.RLELoss` to leave it out and report it;
            - ``keypoint_weights`` (N, K), the weights of ``SimCCLabel``;
            - ``coord_weights`` (N, K): 1 where ``RegressionLabel`` counts the joint, which is
              labelled and inside the crop, else 0.
        """
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], dtype=np.float32)
        point = self.regression.encode(keypoints, keypoints_visible)

        # False for nan as well. Bins are integers, and what a nan becomes depends on the machine.
        sane = (np.abs(keypoints) < MAX_DISTANCE).all(axis=-1)
        encoded = self.simcc.encode(
            np.where(sane[..., None], keypoints, 0.0), np.where(sane, keypoints_visible, 0.0)
        )
        encoded['keypoint_labels'] = point['keypoint_labels']
        encoded['coord_weights'] = point['keypoint_weights']
        return encoded

    def decode(self, *encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read keypoints from either kind of output.

        Args:
            encoded: one array, normalised coordinates (N, K, 2) or with sigma (N, K, 4), for
                the RLE branch; or two, the x and y vectors (N, K, W s) and (N, K, H s), for
                the SimCC branch; or three, these and sigma (N, K, 2) to take the scores from.

        Returns:
            Keypoints in input px (N, K, 2), of SimCC the greatest bins; scores (N, K), of
            SimCC the smaller of the two peaks, with sigma 1 - mean sigma.

        Raises:
            UserError: another number of arrays.
        """
        if len(encoded) == 1:
            return self.regression.decode(encoded[0])
        if len(encoded) not in (2, 3):
            raise UserError(
                'SimCCRLELabel.decode: expected coordinates, or x and y vectors and, if wanted, '
                f'sigma; got {len(encoded)} arrays.'
            )
        keypoints, scores = self.simcc.decode(*encoded[:2])
        if len(encoded) == 3:
            scores = (1 - encoded[2]).mean(axis=-1).reshape(scores.shape)
        return keypoints, scores
