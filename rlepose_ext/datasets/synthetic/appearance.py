"""How a person looks: skin, hair and clothes, independent of pose and place."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from rlepose_ext.datasets.synthetic.canvas import Colour

# Blue, green, red; light to dark.
_SKINS = ((196, 214, 246), (164, 190, 232), (128, 164, 214), (96, 130, 186), (64, 92, 146),
          (44, 62, 104))  # fmt: skip
_HAIRS = ((28, 28, 34), (40, 52, 78), (56, 84, 126), (96, 160, 206), (46, 66, 150),
          (170, 172, 176))  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours (BGR, 0 to 255) and cuts of one person's appearance.

    ``sleeve`` and ``leg`` are the covered fractions of the upper arm and the thigh; from
    1 upwards the forearm and the shin are covered too.
    """

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    print: Colour | None
    sleeve: float
    leg: float
    long_hair: bool


def sample_look(rng: np.random.Generator) -> Look:
    """A random person; shirt and trousers always differ in brightness or hue."""
    u = rng.random(16).tolist()
    shade = 0.9 + 0.2 * u[0]
    skin = _scaled(_SKINS[int(u[1] * len(_SKINS))], shade)
    hair = skin if u[2] < 0.05 else _scaled(_HAIRS[int(u[3] * len(_HAIRS))], 0.8 + 0.4 * u[4])
    hue = u[5]
    value = 0.35 + 0.65 * u[6]
    shirt = _hsv(hue, 0.25 + 0.7 * u[7], value)
    trousers = _hsv(hue + 0.25 + 0.5 * u[8], 0.15 + 0.6 * u[9], 0.2 + 0.6 * u[10])
    cut = 3 * u[15]
    leg = int(cut)
    # What the choice of the cut leaves over is uniform again; another number from the generator
    # would change everything that is drawn after this person.
    saturation = 0.4 * (cut - leg)
    return Look(
        skin=skin,
        hair=hair,
        shirt=shirt,
        trousers=trousers,
        shoes=_hsv(u[11], saturation, 0.15 + 0.8 * u[12]),
        print=_hsv(hue + 0.5, 0.7, 1.3 - value) if u[13] < 0.5 else None,
        sleeve=(0.0, 0.6, 0.6, 1.0, 1.0)[int(u[14] * 5)],
        leg=(0.7, 1.0, 1.0)[leg],
        long_hair=bool(rng.random() < 0.3),
    )


def _scaled(colour: Colour, factor: float) -> Colour:
    b, g, r = colour
    return min(b * factor, 255.0), min(g * factor, 255.0), min(r * factor, 255.0)


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, min(max(value, 0.0), 1.0))
    return b * 255.0, g * 255.0, r * 255.0
