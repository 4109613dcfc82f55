"""The middle of a mosaic, at a random size."""

from __future__ import annotations

from mmpose.datasets.transforms import BottomupRandomAffine

from rlepose_ext.registry import TRANSFORMS


@TRANSFORMS.register_module()
class MosaicAffine(BottomupRandomAffine):
    """MMPose's ``BottomupRandomAffine`` for the output of its ``Mosaic``, twice the input's size.

    ``BottomupRandomAffine(transform_mode='perspective')`` turns and scales around the middle of the
    *input*, which in a mosaic is the middle of the upper left picture: the other three are hardly
    seen. Here the middle of the mosaic comes to the middle of the input, as in YOLOv5. Boxes and
    joints outside of the input are cut off and have no label any more.

    Args:
        input_size: width and height, input px.
        shift: at most, of the input's width and height.
        scale: the pictures grow by a factor from 1 - ``scale`` to 1 + ``scale``.
        pad_val: colour around the pictures.
    """

    def __init__(
        self,
        input_size: tuple[int, int],
        shift: float = 0.1,
        scale: float = 0.5,
        pad_val: float = 114,
    ) -> None:
        super().__init__(
            input_size=tuple(input_size),
            shift_factor=shift,
            scale_factor=(1 - scale, 1 + scale),
            rotate_prob=0.0,
            shear_prob=0.0,
            pad_val=pad_val,
            distribution='uniform',
            transform_mode='perspective',
            bbox_keep_corner=False,
            clip_border=True,
        )

    def _get_transform_params(self) -> tuple:
        offset, scale, rotate, shear = super()._get_transform_params()
        # x -> scale (x - W/2) + W/2 + offset W, of the base class, becomes scale (x - W) + ...
        return offset - scale / 2, scale, rotate, shear
