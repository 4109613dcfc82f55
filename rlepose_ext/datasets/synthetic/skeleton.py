"""The articulated body: 17 COCO joints in 3-D from joint angles (forward kinematics).

Body axes, right-handed: x to the person's own left, y up, z forward. The camera looks
along -z with y up, so a person with yaw 0 faces it and has the left side at larger
image x; with yaw 180 degrees the person shows the back and the order is reversed.
Projection is orthographic: image x = x, image y = -y, and a larger z is nearer.
Lengths are in units of the body height.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np

JOINTS = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
    'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip',
    'left_knee', 'right_knee', 'left_ankle', 'right_ankle',
)  # fmt: skip
JOINT_ID = {name: i for i, name in enumerate(JOINTS)}
# Pairs of joints that are drawn as bones, in COCO's order; here from 0, in the file from 1.
BONES = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
SIDES = (('left', 1.0), ('right', -1.0))


@dataclass(frozen=True)
class Build:
    """Proportions of one body: factors on the lengths and radii of an average one."""

    arm: float = 1.0
    leg: float = 1.0
    torso: float = 1.0
    shoulder: float = 1.0
    head: float = 1.0
    girth: float = 1.0


@dataclass(frozen=True)
class Limb:
    """Angles of an arm or a leg in degrees.

    ``flex`` swings it forward, ``abduct`` away from the body's midline, ``twist`` turns
    it inward about its own axis, and ``bend`` closes the elbow or the knee.
    """

    flex: float = 0.0
    abduct: float = 0.0
    twist: float = 0.0
    bend: float = 0.0


@dataclass(frozen=True)
class Pose:
    """All joint angles of a body, in degrees.

    ``yaw`` turns the person about the vertical (0: faces the camera), ``elevation`` is
    the camera's height above the person, ``roll`` turns in the image plane. ``spine``
    and ``head`` are (bend forward, turn, lean sideways).
    """

    yaw: float = 0.0
    elevation: float = 0.0
    roll: float = 0.0
    spine: tuple[float, float, float] = (0.0, 0.0, 0.0)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    arms: tuple[Limb, Limb] = (Limb(), Limb())
    legs: tuple[Limb, Limb] = (Limb(), Limb())


@dataclass(frozen=True)
class Body:
    """A posed body in camera axes.

    Attributes:
        joints: (17, 3), COCO order.
        points: further places by name (``waist``, ``neck``, ``head``, ``left_hand``,
            ``left_toe``, ...), each (3,).
        chest: (3, 3) rotation of the chest; columns are its left, up and forward.
        head: (3, 3) rotation of the head.
        pelvis: (3, 3) rotation of the pelvis.
    """

    joints: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    pelvis: np.ndarray
    points: dict[str, np.ndarray] = field(default_factory=dict)


def rotate_x(degrees: float) -> np.ndarray:
    """Turn about the left axis: positive bends an upright vector forward."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotate_y(degrees: float) -> np.ndarray:
    """Turn about the vertical: positive turns forward to the person's left."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotate_z(degrees: float) -> np.ndarray:
    """Turn about the forward axis: positive lifts a hanging left arm sideways."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose_body(pose: Pose, build: Build | None = None) -> Body:
    """Forward kinematics: place all joints of ``build`` (an average one if absent) in ``pose``.

    Returns:
        The body with the pelvis at the origin, in units of the body height.
    """
    build = build or Build()
    pelvis = rotate_z(pose.roll) @ rotate_x(pose.elevation) @ rotate_y(pose.yaw)
    forward, turn, lean = pose.spine
    chest = pelvis @ rotate_z(lean) @ rotate_x(forward) @ rotate_y(turn)
    nod, look, tilt = pose.head
    head = chest @ rotate_z(tilt) @ rotate_x(nod) @ rotate_y(look)

    waist = pelvis @ (0.0, 0.09 * build.torso, 0.0)
    neck = waist + chest @ (0.0, 0.205 * build.torso, 0.0)
    radius = 0.078 * build.head
    centre = neck + chest @ (0.0, 0.03, 0.005) + head @ (0.0, 0.95 * radius, 0.012)

    joints = np.zeros((len(JOINTS), 3))
    points = {'waist': waist, 'neck': neck, 'head': centre}
    # The face in units of the head's radius.
    joints[0] = centre + head @ np.array([0.0, -0.12, 1.05]) * radius
    for k, (side, s) in enumerate(SIDES):
        joints[1 + k] = centre + head @ np.array([0.4 * s, 0.16, 0.86]) * radius
        joints[3 + k] = centre + head @ np.array([0.95 * s, -0.02, 0.0]) * radius

        shoulder = neck + chest @ (0.118 * build.shoulder * s, -0.025, 0.0)
        upper, lower = _limb(chest, pose.arms[k], s, elbow=True)
        elbow = shoulder + upper[:, 1] * (-0.165 * build.arm)
        wrist = elbow + lower[:, 1] * (-0.145 * build.arm)
        joints[5 + k], joints[7 + k], joints[9 + k] = shoulder, elbow, wrist
        points[f'{side}_hand'] = wrist + lower[:, 1] * (-0.045 * build.arm)

        hip = pelvis @ (0.072 * build.girth**0.5 * s, -0.01, 0.0)
        upper, lower = _limb(pelvis, pose.legs[k], s, elbow=False)
        knee = hip + upper[:, 1] * (-0.235 * build.leg)
        ankle = knee + lower[:, 1] * (-0.225 * build.leg)
        joints[11 + k], joints[13 + k], joints[15 + k] = hip, knee, ankle
        points[f'{side}_toe'] = ankle + lower @ (0.012 * s, -0.03, 0.085)
        points[f'{side}_heel'] = ankle + lower @ (0.0, -0.025, -0.008)
    return Body(joints=joints, chest=chest, head=head, pelvis=pelvis, points=points)


def _limb(parent: np.ndarray, limb: Limb, s: float, elbow: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of the upper and the lower part; the bone runs along -y of each."""
    upper = parent @ rotate_x(-limb.flex) @ rotate_z(s * limb.abduct) @ rotate_y(-s * limb.twist)
    # Elbows close forward, knees backward.
    return upper, upper @ rotate_x(-limb.bend if elbow else limb.bend)
