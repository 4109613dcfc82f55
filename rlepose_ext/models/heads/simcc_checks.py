"""What heads over the tokens of SimCC ask of their sizes and of their codec."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from rlepose_ext.checks import check_size
from rlepose_ext.errors import UserError


def check_sizes(head: str, input_size: Sequence[int], map_size: Sequence[int]) -> None:
    """Refuse sizes that no backbone could have between its input and its output.

    Args:
        head: its class, for the message.
        input_size: width and height, input px.
        map_size: width and height, heatmap px.

    Raises:
        UserError: not a pair each, or no stride s gives ``ceil(input / s)`` pixels on both axes.
    """
    check_size(head, input_size=input_size, in_featuremap_size=map_size)
    (w, h), (map_w, map_h) = input_size, map_size
    strides = range(1, max(w, h) + 1)
    if not any(-(-w // s) == map_w and -(-h // s) == map_h for s in strides):
        raise UserError(
            f'{head}: in_featuremap_size {tuple(map_size)} does not fit input_size '
            f'{tuple(input_size)}. Expected (width, height) each, the input the same whole number '
            'of times larger on both axes: (48, 64) for (192, 256) behind HRNet.'
        )


def check_codec(head: nn.Module) -> None:
    """Refuse a decoder that is no SimCC codec, or one of other sizes than the head's.

    Args:
        head: has ``decoder``, None or a codec, and ``input_size`` and ``simcc_split_ratio``.

    Raises:
        UserError: names both values.
    """
    if head.decoder is None:
        return
    where = type(head).__name__
    for name in ('input_size', 'simcc_split_ratio'):
        ours, codecs = getattr(head, name), getattr(head.decoder, name, None)
        if codecs is None:
            raise UserError(
                f'{where}: the decoder is a {type(head.decoder).__name__}, which has no '
                f"{name}. Expected a codec of SimCC: dict(type='SimCCLabel', ...)."
            )
        if not np.array_equal(ours, codecs):
            raise UserError(
                f'{where}: {name} is {ours}, that of the decoder is {codecs}. Type it '
                f"once, in codec = dict(...), and pass codec['{name}'] to the head."
            )
