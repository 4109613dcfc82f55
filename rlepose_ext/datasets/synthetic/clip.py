"""Drawn videos: the same people move through the same scene, with labels and identities.

A person keeps its looks and proportions, walks to and fro across the picture on the sine of
time, and passes before or behind the others. Its pose goes from one random pose to the next
on half a period of the cosine, so that joints neither jump nor jerk. What is nearest to the
ground stands on it. Camera and scene are at rest; only the noise changes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from numbers import Integral

import numpy as np

from rlepose_ext.datasets.synthetic.appearance import Look, sample_look
from rlepose_ext.datasets.synthetic.background import (
    draw_clutter,
    draw_occluder,
    sample_backdrop,
)
from rlepose_ext.datasets.synthetic.camera import photograph, sample_exposure
from rlepose_ext.datasets.synthetic.canvas import Canvas
from rlepose_ext.datasets.synthetic.config import (
    MAX_PERSONS,
    SyntheticPeopleConfig,
    as_config,
)
from rlepose_ext.datasets.synthetic.poses import sample_build, sample_pose
from rlepose_ext.datasets.synthetic.render import Placement
from rlepose_ext.datasets.synthetic.scene import Figure, draw_figures, label_figures
from rlepose_ext.datasets.synthetic.skeleton import Build, Limb, Pose, pose_body
from rlepose_ext.errors import UserError

# From one pose to the next.
FRAMES_PER_POSE = 40
_SHORTEST_WALK, _LONGEST_WALK = 160, 320


@dataclass(frozen=True)
class Walker:
    """A person of a video.

    Attributes:
        look: clothes and colours.
        build: proportions.
        poses: one every :data:`FRAMES_PER_POSE` frames.
        scale: body height, image px.
        ground: y under the feet, image px.
        middle: x around which the person walks, image px.
        swing: how far to each side, image px.
        period: frames of the way to and fro.
        phase: where on this way the video begins, radians.
    """

    look: Look
    build: Build
    poses: tuple[Pose, ...]
    scale: float
    ground: float
    middle: float
    swing: float
    period: float
    phase: float

    def figure(self, frame: int) -> Figure:
        """The person in frame ``frame``, from 0."""
        number, step = divmod(frame, FRAMES_PER_POSE)
        share = 0.5 - 0.5 * math.cos(math.pi * step / FRAMES_PER_POSE)
        body = pose_body(between(self.poses[number], self.poses[number + 1], share), self.build)
        lowest = min(point[1] for point in (*body.joints, *body.points.values()))
        x = self.middle + self.swing * math.sin(2 * math.pi * frame / self.period + self.phase)
        place = Placement(x, self.ground + self.scale * lowest, self.scale)
        return Figure(body, self.build, place)


def draw_clip(
    rng: np.random.Generator,
    frames: int,
    persons: int = 2,
    config: SyntheticPeopleConfig | Mapping[str, object] | None = None,
) -> list[tuple[np.ndarray, list[dict]]]:
    """Draw a video; the result depends on the generator's state only.

    Args:
        rng: source of every random choice.
        frames: number of frames.
        persons: number of people.
        config: what to draw; of ``persons`` nothing is taken. ``truncation`` is the
            probability that a person's way leads out of the image and back.

    Returns:
        For each frame its image and its people, as :func:`draw_image` gives them, each with
        ``track_id``, from 0 in the order of ``persons``. Who is outside the image is absent.

    Raises:
        UserError: no frame, no person, or more persons than can be told apart.
    """
    for name, value, most in (('frames', frames, math.inf), ('persons', persons, MAX_PERSONS)):
        if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= value <= most:
            limit = '' if math.isinf(most) else f' to {most}'
            raise UserError(f'draw_clip: {name} must be an integer from 1{limit}, not {value!r}.')
    config = as_config(config)
    width = int(rng.integers(config.width[0], config.width[1] + 1))
    height = int(rng.integers(config.height[0], config.height[1] + 1))
    stage = Canvas(width, height, sample_backdrop(rng))
    draw_clutter(rng, stage, config.clutter)
    exposure = sample_exposure(rng)
    slots = [(slot + 0.5) / persons for slot in range(persons)]
    people = [_sample_walker(rng, frames, slot, (width, height), config) for slot in slots]
    # Who is larger is nearer and drawn later.
    people.sort(key=lambda walker: walker.scale)
    looks = [walker.look for walker in people]
    things = rng.integers(2**32, size=persons)
    hidden = rng.random(persons) < config.occlusion

    clip, start = [], []
    for frame in range(frames):
        canvas = copy.deepcopy(stage)
        figures = [walker.figure(frame) for walker in people]
        labels, extents = draw_figures(canvas, figures, looks)
        # Objects stay where they occlude a person in the first frame.
        start = start or extents
        for number in np.flatnonzero(hidden):
            draw_occluder(np.random.default_rng(things[number]), canvas, start[number])
        label_figures(canvas, figures, labels)
        for identity, label in enumerate(labels):
            label['track_id'] = identity
        image = photograph(rng, canvas.image(), exposure, config.noise)
        clip.append((image, [label for label in labels if label['area'] > 0]))
    return clip


def between(start: Pose, end: Pose, share: float) -> Pose:
    """The pose at ``share`` (0 to 1) of the way, all angles in proportion."""

    def mix(a: object, b: object) -> object:
        if isinstance(a, (tuple, list)):
            return tuple(mix(x, y) for x, y in zip(a, b, strict=True))
        return a + share * (b - a)

    yaw, elevation, roll, spine, head, arms, legs = mix(astuple(start), astuple(end))
    limbs = [tuple(Limb(*angles) for angles in pair) for pair in (arms, legs)]
    return Pose(yaw, elevation, roll, spine, head, *limbs)


def _sample_walker(
    rng: np.random.Generator,
    frames: int,
    slot: float,
    size: tuple[int, int],
    config: SyntheticPeopleConfig,
) -> Walker:
    """A person whose way leads past ``slot``, a share of the image's width."""
    width, height = size
    scale = rng.uniform(0.5, 0.7) * min(height, 1.5 * width)
    low, high, home = 0.3 * scale, width - 0.3 * scale, slot * width
    left = home - rng.uniform(0.3, 1.0) * max(home - low, 0.0)
    right = home + rng.uniform(0.3, 1.0) * max(high - home, 0.0)
    if rng.random() < config.truncation:
        left, right = (-low, right) if slot < 0.5 else (left, width + low)
    return Walker(
        look=sample_look(rng),
        build=sample_build(rng),
        poses=_sample_poses(rng, (frames - 1) // FRAMES_PER_POSE + 2, config),
        scale=scale,
        ground=height * rng.uniform(0.9, 0.97),
        middle=(left + right) / 2,
        swing=(right - left) / 2,
        period=rng.uniform(_SHORTEST_WALK, _LONGEST_WALK),
        phase=rng.uniform(0, 2 * math.pi),
    )


def _sample_poses(
    rng: np.random.Generator, number: int, config: SyntheticPeopleConfig
) -> tuple[Pose, ...]:
    poses = [sample_pose(rng, config) for _ in range(number)]
    # The camera does not move, and people turn by the shorter way.
    turns = np.unwrap([pose.yaw for pose in poses], period=360).tolist()
    first = poses[0]
    return tuple(
        replace(pose, yaw=yaw, elevation=first.elevation, roll=first.roll)
        for pose, yaw in zip(poses, turns, strict=True)
    )
