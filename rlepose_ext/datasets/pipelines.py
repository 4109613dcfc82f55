"""Pipelines of configs, for another codec than the one that they were written for."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ['with_codec']


def with_codec(
    pipeline: Sequence[Mapping[str, Any]], codec: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The steps of a pipeline with the input size and the targets of ``codec``.

    For configs that change the codec of their base. MMEngine replaces lists as a whole, so the
    pipelines have to be given again::

        codec = dict(_base_.codec, input_size=(128, 128))
        model = dict(head=dict(decoder=codec))
        train_pipeline = with_codec(_base_.train_pipeline, codec)
        train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

    In a config the import of this function stands below ``_base_``, else MMEngine takes the file
    for one of its lazy configs. It is no key of the resolved config.

    Args:
        pipeline: transforms as configs have them; not changed.
        codec: as configs have it; ``input_size`` is width and height, px.

    Returns:
        The same steps, but ``input_size``, ``img_scale`` (of ``Mosaic``) and ``encoder`` of those
        that have one are the codec's.
    """
    size = codec['input_size']
    new = {'input_size': size, 'img_scale': size, 'encoder': codec}
    return [
        {key: new.get(key, value) for key, value in step.items()} if new.keys() & step else step
        for step in pipeline
    ]
