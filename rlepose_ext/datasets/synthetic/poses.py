"""Random poses: families of joint-angle ranges, from standing to jumping.

Each family gives, for every angle, the interval it is drawn from (degrees, uniform).
``near`` and ``far`` limbs are assigned to left and right by a coin, so that no side is
special. The families overlap on purpose: their names are labels for people only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlepose_ext.datasets.synthetic.config import SyntheticPeopleConfig
from rlepose_ext.datasets.synthetic.skeleton import Build, Limb, Pose

Range = tuple[float, float]


@dataclass(frozen=True)
class LimbRange:
    """Intervals of a limb's four angles, see :class:`Limb`."""

    flex: Range = (-10, 10)
    abduct: Range = (3, 12)
    twist: Range = (-15, 15)
    bend: Range = (0, 12)


@dataclass(frozen=True)
class PoseFamily:
    """Intervals of a family's angles; ``weight`` is relative to the other families."""

    weight: float
    arms: tuple[LimbRange, LimbRange]
    legs: tuple[LimbRange, LimbRange]
    spine: Range = (-5, 10)


_HANG = LimbRange((-20, 20), (8, 30), (-20, 50), (5, 45))
_UP = LimbRange((130, 180), (5, 35), (-50, 20), (0, 60))
_OUT = LimbRange((-15, 25), (65, 110), (-90, 60), (0, 80))
_FRONT = LimbRange((55, 105), (-5, 30), (-10, 60), (0, 70))
_ON_HIP = LimbRange((-35, -5), (38, 58), (60, 95), (85, 110))
_WAVE = LimbRange((5, 30), (85, 120), (-115, -70), (50, 110))
_CHEST = LimbRange((20, 50), (5, 25), (40, 75), (95, 130))
_LEG = LimbRange()
_WIDE = LimbRange((-10, 20), (15, 35), (-15, 10), (0, 15))

FAMILIES: dict[str, PoseFamily] = {
    'stand': PoseFamily(1.5, (_HANG, _HANG), (_LEG, _LEG)),
    'hand on hip': PoseFamily(1.0, (_ON_HIP, _HANG), (_LEG, _WIDE)),
    'hands on hips': PoseFamily(0.8, (_ON_HIP, _ON_HIP), (_WIDE, _WIDE)),
    'arms folded': PoseFamily(0.5, (_CHEST, _CHEST), (_LEG, _LEG)),
    'wave': PoseFamily(1.0, (_WAVE, _HANG), (_LEG, _LEG)),
    'one arm up': PoseFamily(1.0, (_UP, _HANG), (_LEG, _WIDE)),
    'arms up': PoseFamily(1.0, (_UP, _UP), (_LEG, _WIDE)),
    'arms out': PoseFamily(1.0, (_OUT, _OUT), (_WIDE, _LEG)),
    'point': PoseFamily(0.8, (_OUT, _ON_HIP), (_WIDE, _LEG)),
    'reach': PoseFamily(0.7, (_FRONT, _FRONT), (_LEG, _LEG)),
    'walk': PoseFamily(
        1.5,
        (LimbRange((10, 40), (5, 15), (0, 30), (15, 50)), LimbRange((-35, -10), (5, 15))),
        (LimbRange((-30, -10), (2, 8), bend=(10, 45)), LimbRange((15, 35), (2, 8))),
    ),
    'run': PoseFamily(
        1.0,
        (
            LimbRange((20, 65), (5, 25), (0, 40), (70, 115)),
            LimbRange((-65, -30), (10, 25), (0, 20), (70, 110)),
        ),
        (
            LimbRange((-35, -5), (0, 8), bend=(50, 110)),
            LimbRange((40, 80), (0, 8), bend=(30, 90)),
        ),
        spine=(5, 25),
    ),
    'sit': PoseFamily(
        0.6,
        (LimbRange((15, 55), (5, 20), (0, 40), (20, 80)), _HANG),
        (
            LimbRange((70, 95), (5, 25), bend=(60, 100)),
            LimbRange((70, 95), (5, 25), bend=(60, 100)),
        ),
    ),
    'squat': PoseFamily(
        0.4,
        (_FRONT, _FRONT),
        (
            LimbRange((80, 110), (10, 35), bend=(95, 130)),
            LimbRange((80, 110), (10, 35), bend=(95, 130)),
        ),
        spine=(15, 40),
    ),
    'bend': PoseFamily(
        0.4,
        (LimbRange((50, 110), (0, 20), bend=(0, 30)), LimbRange((30, 90), (0, 25), bend=(0, 60))),
        (_LEG, LimbRange((-5, 25), (5, 15), bend=(0, 30))),
        spine=(45, 90),
    ),
    'jump': PoseFamily(
        1.0,
        (_UP, _OUT),
        (
            LimbRange((-10, 30), (15, 45), bend=(0, 80)),
            LimbRange((-20, 20), (15, 45), bend=(0, 100)),
        ),
    ),
    'kick': PoseFamily(
        0.6,
        (_OUT, LimbRange((-40, 40), (20, 60), bend=(10, 70))),
        (LimbRange((50, 100), (0, 30), bend=(0, 40)), LimbRange((-10, 5), (0, 10))),
        spine=(-15, 5),
    ),
    'lunge': PoseFamily(
        0.6,
        (_OUT, _ON_HIP),
        (LimbRange((50, 80), (10, 40), bend=(50, 90)), LimbRange((-35, -10), (15, 35))),
    ),
}
_NAMES = tuple(FAMILIES)
_CUMULATIVE = np.cumsum([family.weight for family in FAMILIES.values()])


def sample_build(rng: np.random.Generator) -> Build:
    """Proportions of a random grown-up or child."""
    low = (0.92, 0.9, 0.93, 0.88, 0.9, 0.85)
    high = (1.08, 1.08, 1.08, 1.15, 1.2, 1.3)
    return Build(*rng.uniform(low, high).tolist())


def sample_yaw(rng: np.random.Generator, config: SyntheticPeopleConfig) -> float:
    """Viewing direction in degrees: front around 0, back around 180, sides around 90."""
    u = rng.random()
    if u < config.back_view:
        return 180.0 + rng.normal(0, 22)
    if u < config.back_view + config.side_view:
        return (90.0 if rng.random() < 0.5 else -90.0) + rng.uniform(-30, 30)
    return rng.normal(0, 25)


def sample_pose(rng: np.random.Generator, config: SyntheticPeopleConfig) -> Pose:
    """A random pose of a random family, seen from a random side."""
    pick = np.searchsorted(_CUMULATIVE, rng.random() * _CUMULATIVE[-1], side='right')
    return sample_family(rng, FAMILIES[_NAMES[min(pick, len(_NAMES) - 1)]], config)


def sample_family(
    rng: np.random.Generator, family: PoseFamily, config: SyntheticPeopleConfig
) -> Pose:
    """A random pose of ``family``, seen from a random side."""
    variety = config.pose_variety
    unit = ((rng.random((4, 4)) - 0.5) * variety + 0.5).tolist()
    limbs = [
        Limb(
            *(low + (high - low) * u for (low, high), u in zip(_intervals(limb), row, strict=True))
        )
        for limb, row in zip(family.arms + family.legs, unit, strict=True)
    ]
    # Walking and running need the arm and the leg of one side to swing apart: both pairs
    # are listed for the same side and swap together.
    order = (0, 1, 2, 3) if rng.random() < 0.5 else (1, 0, 3, 2)
    a, b, c, d = (limbs[i] for i in order)
    low, high = family.spine
    bend = low + (high - low) * ((rng.random() - 0.5) * variety + 0.5)
    turn, lean, nod, look, tilt, roll = (
        rng.normal(0, (8, 6, 10, 20, 7, 6)) * min(variety, 1.0)
    ).tolist()
    return Pose(
        yaw=sample_yaw(rng, config),
        elevation=rng.uniform(-3, 14),
        roll=roll,
        spine=(bend, turn, lean),
        # People who bend lift the head to look ahead.
        head=(nod - 0.4 * bend, look, tilt),
        arms=(a, b),
        legs=(c, d),
    )


def _intervals(limb: LimbRange) -> tuple[Range, Range, Range, Range]:
    return limb.flex, limb.abduct, limb.twist, limb.bend
