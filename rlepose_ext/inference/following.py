"""Frames that follow each other: who is the same person as before, and joints that are calm."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial

from rlepose_ext.inference.clock import Clock
from rlepose_ext.inference.predictors import Predictor
from rlepose_ext.inference.smoothing import build_smoother
from rlepose_ext.inference.types import PoseResult
from rlepose_ext.inference.video import DEFAULT_FPS


class Following:
    """Tracks the persons of one video, and smooths their joints.

    Args:
        predictor: finds the persons of each frame.
        method: one of :data:`.arguments.METHODS`; ``None`` changes nothing.
        overlap: largest IoU of the boxes that ``'bytetrack'`` sees; ``None`` is the detector's own.
        smooth: filter tracked joints, see :mod:`.smoothing`.

    Attributes:
        settings: method, overlap, and whether it smooths.
        count: frames so far.
        last: the persons of the last frame with identities, not smoothed.
    """

    def __init__(
        self,
        predictor: Predictor,
        method: str | None = None,
        overlap: float | None = None,
        smooth: bool = False,
    ) -> None:
        self.settings, self.count = (method, overlap, smooth), 0
        self.last: PoseResult | None = None
        self._tracker = self._smoother = None
        self._boxes = nullcontext
        if method is None:
            return
        # Not above: pictures need no SciPy.
        from rlepose_ext.inference.bytetrack import all_boxes
        from rlepose_ext.inference.tracking import build_tracker

        self._tracker = build_tracker(method, predictor)
        self._smoother = build_smoother(predictor) if smooth else None
        if method == 'bytetrack':
            self._boxes = partial(all_boxes, predictor, overlap)

    def boxes(self) -> AbstractContextManager[None]:
        """Within, the predictor also finds what only the tracker can judge."""
        return self._boxes()

    def next(self, poses: PoseResult, clock: Clock, seconds: float | None = None) -> PoseResult:
        """The persons of the next frame with identities, without boxes that are nobody's.

        Args:
            poses: of the frame.
            clock: adds up the time of tracking.
            seconds: when the frame is; ``None`` counts 25 frames a second.
        """
        seconds = self.count / DEFAULT_FPS if seconds is None else seconds
        self.count += 1
        self.last = poses
        if self._tracker is None:
            return poses
        with clock('track'):
            self.last = poses = self._tracker(poses)
            return poses if self._smoother is None else self._smoother(poses, seconds)
