"""What is read from labels of any kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rlepose_ext.errors import UserError

Joint = tuple[float, float, float]  # x, y in image px, v: 0 not labelled, 1 hidden, 2 visible
Box = tuple[float, ...]  # x, y, width, height in image px


@dataclass
class Item:
    """One labelled object.

    Attributes:
        image: its image, as the labels name it.
        joints: by name.
        box: None where the labels have none.
        label: name of its class, empty where the labels have none.
    """

    image: str
    joints: dict[str, Joint]
    box: Box | None = None
    label: str = ''


@dataclass
class Labels:
    """What a file or folder of labels says.

    Attributes:
        source: the file or folder.
        kind: a key of :data:`~rlepose_ext.own_data.readers.KINDS`.
        items: the objects.
        joints: names in their order; by default that of their first appearance.
        links: pairs of names to draw.
        pairs: pairs of names that change places in a mirrored image.
        parts: ``'train'`` or ``'val'`` of images, where the labels say so.
        sizes: width and height of images in px, where the labels say so.
        relative: whether coordinates are parts of the image's width and height, not px.
        problems: entries that cannot be used, each a clause.
        notes: how something was understood that could be meant otherwise, each a clause.
    """

    source: Path
    kind: str
    items: list[Item] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    relative: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_size(self, image: str, width: object, height: object) -> None:
        """Keep the size that an image had when it was labelled, if this is one."""
        try:
            size = int(width), int(height)
        except (TypeError, ValueError, OverflowError):
            return
        if min(size) > 0:
            self.sizes[image] = size


def refuse_twins(names: Iterable[str], what: str, path: Path) -> None:
    """Refuse names that come more than once: one would silently take the other's place.

    Raises:
        UserError: naming them.
    """
    twice = [repr(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(
            f'{path} has the {what} {", ".join(twice)} more than once, expected different names; '
            'rename or remove all but one.'
        )
