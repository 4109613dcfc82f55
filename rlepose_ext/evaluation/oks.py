"""Object keypoint similarity, COCO's measure of how well one person's joints are placed."""

from __future__ import annotations

import numpy as np


def object_keypoint_similarity(
    predicted: np.ndarray,
    truth: np.ndarray,
    labelled: np.ndarray,
    sigmas: np.ndarray,
    area: np.ndarray,
) -> np.ndarray:
    r"""Mean over labelled joints of :math:`\exp(-d^2 / (2 (2\sigma)^2 A))`, per person.

    Source: COCO's keypoint evaluation (cocodataset.org, *Keypoint Evaluation*), where
    :math:`k = 2\sigma` and :math:`A = s^2` is the person's area. As there, the machine
    epsilon is added to it, so that an exact joint counts 1 where the area is 0.

    Args:
        predicted: (N, K, 2) in image px.
        truth: (N, K, 2) in image px.
        labelled: (N, K), true where ``truth`` counts.
        sigmas: (K,) spread of the annotators, as a fraction of the person's size.
        area: (N,) in px².

    Returns:
        (N,) in [0, 1]; NaN for a person without a labelled joint.
    """
    labelled = np.asarray(labelled, dtype=bool)
    squared = ((np.asarray(predicted, float) - np.asarray(truth, float)) ** 2).sum(axis=-1)
    area = np.asarray(area, float)[:, None] + np.spacing(1)
    spread = 2 * (2 * np.asarray(sigmas, float)) ** 2 * area
    # Unlabelled joints may carry anything, NaN included: they do not enter the sum.
    similarity = np.where(labelled, np.exp(-np.where(labelled, squared, 0) / spread), 0)
    count = labelled.sum(axis=1)
    return np.where(count > 0, similarity.sum(axis=1) / np.maximum(count, 1), np.nan)
