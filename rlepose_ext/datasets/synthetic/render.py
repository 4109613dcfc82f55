"""Drawing one posed body: tapered limbs, torso, head and face, far parts first.

Left and right can be told from the picture, as in a photograph: the face, the collar and
the shirt's print show the front, hair and a plain shirt the back. Joints are the exact
centres of the discs that end the limbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlepose_ext.datasets.synthetic.appearance import Look
from rlepose_ext.datasets.synthetic.canvas import Canvas, Colour, capsules, hull, to_fixed
from rlepose_ext.datasets.synthetic.skeleton import SIDES, Body, Build

HEAD, NECK, CHEST, PELVIS = range(4)
UPPER_ARM, FOREARM, HAND, THIGH, SHIN, FOOT = range(6)
PARTS = 16
# Radii of the two ends of each limb part, in body heights, in the order above.
_RADII = np.array(
    [(0.034, 0.028), (0.028, 0.021), (0.021, 0.023), (0.056, 0.04), (0.039, 0.026), (0.027, 0.022)]
)
_NECK_RADII = np.array([(0.03, 0.028)])
# Towards the light, in image axes.
_LIGHT = np.array([-0.5, -0.86])


def part_id(base: int, part: int, side: int | None = None) -> int:
    """Id of a body part on the canvas; ``side`` is 0 (left), 1 (right) or None (trunk)."""
    return base + part if side is None else base + 4 + 6 * side + part


@dataclass(frozen=True)
class Placement:
    """Where the pelvis is and how large a body height is, in image pixels."""

    x: float
    y: float
    scale: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera axes, (..., 3) in body heights, to image pixels, (..., 2)."""
        points = np.asarray(points)
        return np.stack(
            [self.x + self.scale * points[..., 0], self.y - self.scale * points[..., 1]], axis=-1
        )


def draw_person(
    canvas: Canvas, body: Body, build: Build, look: Look, place: Placement, base: int
) -> tuple[float, float, float, float]:
    """Draw a person on top of what is there; parts get the ids ``base`` to ``base + 15``.

    Returns:
        Extent of everything drawn, (left, top, right, bottom) in image pixels, which may
        lie outside the image.
    """
    return _Painter(canvas, body, build, look, place, base).draw()


class _Painter:
    """One person's drawing; exists so that the steps below can share what they need."""

    def __init__(
        self, canvas: Canvas, body: Body, build: Build, look: Look, place: Placement, base: int
    ) -> None:
        self.canvas, self.body, self.build, self.look = canvas, body, build, look
        self.place, self.base, self.unit = place, base, place.scale
        self.edge = max(0.006 * place.scale, 0.7)
        self.low = np.full(2, np.inf)
        self.high = np.full(2, -np.inf)

    def draw(self) -> tuple[float, float, float, float]:
        joints, points = self.body.joints, self.body.points
        self._prepare_limbs()
        trunk = (points['waist'][2] + points['neck'][2]) / 2
        # Painter's algorithm on whole limbs. The small terms order what is equally far:
        # the shirt hangs over the legs, and arms lie on the shirt.
        chest, head = trunk + 0.05, points['head'][2] + 0.08
        steps = [(0.0, self._pelvis), (chest, self._chest), (head, self._head)]
        steps.append((min(chest, head) - 0.001, self._neck))
        for k in range(2):
            arm, leg = joints[[5 + k, 7 + k, 9 + k], 2], joints[[11 + k, 13 + k, 15 + k], 2]
            steps.append((arm.mean() + 0.1, lambda k=k: self._limb(k, (UPPER_ARM, FOREARM, HAND))))
            steps.append((leg.mean() + 0.03, lambda k=k: self._limb(k, (THIGH, SHIN, FOOT))))
        for _, step in sorted(steps, key=lambda item: item[0]):
            step()
        return (*self.low.tolist(), *self.high.tolist())

    def _prepare_limbs(self) -> None:
        """Outlines of the 12 limb parts and the neck, computed at once."""
        joints, points = self.body.joints, self.body.points
        starts, ends = [], []
        for k, (side, _) in enumerate(SIDES):
            wrist, ankle = joints[9 + k], joints[15 + k]
            starts += [joints[5 + k], joints[7 + k], wrist, joints[11 + k], joints[13 + k]]
            ends += [joints[7 + k], wrist, points[f'{side}_hand'], joints[13 + k], ankle]
            starts.append(points[f'{side}_heel'])
            ends.append(points[f'{side}_toe'])
        starts.append(points['neck'])
        ends.append(points['head'])
        self.depth = (np.array(starts)[:, 2] + np.array(ends)[:, 2]) / 2
        p, q = self.place.project(np.array(starts)), self.place.project(np.array(ends))
        radii = np.concatenate([_RADII, _RADII, _NECK_RADII]) * self.build.girth**0.7 * self.unit
        a, b = radii[:, 0], radii[:, 1]
        self.ends, self.radii = (p, q), radii
        self.outline = capsules(p, q, a + self.edge, b + self.edge)
        self._grow(self.outline)
        self.outline = to_fixed(self.outline)
        self.body_fill = to_fixed(capsules(p, q, a, b))
        lit_p, lit_q = p + _LIGHT * (0.35 * a[:, None]), q + _LIGHT * (0.35 * b[:, None])
        self.lit = to_fixed(capsules(lit_p, lit_q, 0.5 * a, 0.5 * b))

    def _limb(self, k: int, parts: tuple[int, int, int]) -> None:
        """An arm or a leg: its three parts, far ones first."""
        upper = parts[0]
        if upper == UPPER_ARM:
            cloth, cover, tip = self.look.shirt, self.look.sleeve, self.look.skin
        else:
            cloth, cover, tip = self.look.trousers, self.look.leg, self.look.shoes
        lower_colour = cloth if cover >= 1 else self.look.skin
        colours = {parts[1]: lower_colour, parts[2]: tip}
        colours[upper] = cloth if cover >= 1 else self.look.skin
        for part in sorted(parts, key=lambda part: self.depth[6 * k + part]):
            self._part(6 * k + part, colours[part], part_id(self.base, part, k))
            if part == upper and 0 < cover < 1:
                self._cuff(6 * k + part, cover, cloth, part_id(self.base, part, k))

    def _part(self, row: int, colour: Colour, ident: int) -> None:
        # Nearer parts are a little brighter.
        tone = 1.0 + 0.5 * float(np.clip(self.depth[row], -0.3, 0.3))
        self.canvas.fill_fixed(self.outline[row], _tone(colour, 0.5), ident)
        self.canvas.fill_fixed(self.body_fill[row], _tone(colour, tone), ident)
        self.canvas.fill_fixed(self.lit[row], _tone(colour, tone * 1.12), ident)

    def _cuff(self, row: int, cover: float, colour: Colour, ident: int) -> None:
        """A short sleeve or trouser leg over the upper part of a bare limb."""
        p, q = self.ends[0][row], self.ends[1][row]
        a, b = self.radii[row]
        end, radius = p + cover * (q - p), a + cover * (b - a)
        sizes = np.array([1.0, 0.0]) * self.edge + 0.06 * a
        shapes = capsules(np.stack([p, p]), np.stack([end, end]), a + sizes, radius + sizes)
        self.canvas.fill(shapes[0], _tone(colour, 0.5), ident)
        self.canvas.fill(shapes[1], colour, ident)

    def _discs(self, points: list[np.ndarray], radii: list[float]) -> tuple[np.ndarray, np.ndarray]:
        return self.place.project(np.array(points)), np.array(radii) * self.unit

    def _blob(
        self, points: list[np.ndarray], radii: list[float], colour: Colour, part: int
    ) -> None:
        """A convex lump with an outline: the hull of discs."""
        centres, sizes = self._discs(points, radii)
        border = hull(centres, sizes + self.edge)
        self._grow(border)
        ident = part_id(self.base, part)
        self.canvas.fill(border, _tone(colour, 0.5), ident)
        self.canvas.fill(hull(centres, sizes), colour, ident)

    def _pelvis(self) -> None:
        left, _, front = self.body.pelvis.T
        girth, hips = self.build.girth, self.body.joints[[11, 12]]
        waist = self.body.points['waist']
        side = left * 0.045 * girth
        self._blob(
            [hips[0], hips[1], waist + side, waist - side, -0.03 * front],
            [0.052 * girth, 0.052 * girth, 0.05, 0.05, 0.062 * girth],
            self.look.trousers,
            PELVIS,
        )

    def _neck(self) -> None:
        self._part(12, self.look.skin, part_id(self.base, NECK))

    def _chest(self) -> None:
        left, up, front = self.body.chest.T
        girth = self.build.girth
        shoulders, waist = self.body.joints[[5, 6]], self.body.points['waist']
        neck = self.body.points['neck']
        middle, side = (waist + neck) / 2 + 0.03 * up, left * 0.045 * girth
        self._blob(
            [shoulders[0], shoulders[1], waist + side, waist - side, middle + 0.025 * front,
             middle - 0.025 * front, neck - 0.03 * up],
            [0.036 * girth, 0.036 * girth, 0.056, 0.056, 0.06 * girth, 0.06 * girth, 0.04],
            self.look.shirt,
            CHEST,
        )  # fmt: skip
        if front[2] < 0.15:
            return
        ident, surface = part_id(self.base, CHEST), 0.055 * girth * front
        top = neck + 0.3 * surface
        collar = [top + 0.032 * left, top - 0.032 * left, neck + surface - 0.065 * up]
        self.canvas.fill(self.place.project(np.array(collar)), self.look.skin, ident)
        if self.look.print is not None:
            centre = middle + surface - 0.035 * up
            corners = [
                centre + a * 0.045 * left + b * 0.035 * up
                for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
            ]
            self.canvas.fill(self.place.project(np.array(corners)), self.look.print, ident)

    def _head(self) -> None:
        left, up, front = self.body.head.T
        radius, centre = 0.078 * self.build.head, self.body.points['head']
        skin, hair = self.look.skin, self.look.hair

        def at(x: float, y: float, z: float) -> np.ndarray:
            return centre + radius * (x * left + y * up + z * front)

        def lump(points: list[np.ndarray], radii: list[float], colour: Colour) -> None:
            self._blob(points, [r * radius for r in radii], colour, HEAD)

        def dot(points: list[np.ndarray], radius_: float, colour: Colour) -> None:
            # At least a pixel wide, or small faces would lose their eyes.
            centres, sizes = self._discs(points, [max(radius_ * radius, 0.6 / self.unit)] * 2)
            shape = hull(centres, sizes)
            self._grow(shape)
            self.canvas.fill(shape, colour, part_id(self.base, HEAD))

        def ears(near: bool) -> None:
            for k in range(2):
                ear = self.body.joints[3 + k]
                depth = (ear - centre)[2] / radius
                if face_visible(depth, ear=True) and (depth > 0.12) == near:
                    lump([ear], [0.17], _tone(skin, 0.92))

        def crown() -> None:
            points, radii = [at(0, -0.1, -0.2), at(0, 0.28, -0.1)], [0.85, 0.98]
            if self.look.long_hair:
                points.append(at(0, -0.95, -0.45))
                radii.append(0.7)
            lump(points, radii, hair)

        def face() -> None:
            lump([at(0, -0.42, 0.14), at(0, 0.12, 0.1)], [0.62, 0.86], skin)

        if front[2] <= -0.2:
            for step in (face, crown, lambda: ears(False), lambda: ears(True)):
                step()
            return
        for step in (crown, lambda: ears(False), face):
            step()
        lump([at(0.5, 0.72, 0.3), at(-0.5, 0.72, 0.3)], [0.3, 0.3], hair)
        ears(True)
        eyes = self.body.joints[1:3]
        nose = self.body.joints[0]
        mouth = at(0, -0.55, 0.75)
        if mouth[2] - centre[2] > 0.2 * radius:
            dot([at(0.2, -0.55, 0.75), at(-0.2, -0.55, 0.75)], 0.08, (70, 60, 150))
        for eye in eyes:
            if face_visible((eye - centre)[2] / radius):
                dot([eye, eye], 0.2, (245, 245, 245))
                dot([eye, eye], 0.12, (30, 25, 20))
        if face_visible((nose - centre)[2] / radius, nose=True):
            dot([nose, nose + 0.28 * radius * up - 0.15 * radius * front], 0.13, _tone(skin, 0.7))

    def _grow(self, points: np.ndarray) -> None:
        flat = points.reshape(-1, 2)
        self.low = np.minimum(self.low, flat.min(0))
        self.high = np.maximum(self.high, flat.max(0))


def face_visible(depth: float, nose: bool = False, ear: bool = False) -> bool:
    """Whether a facial joint ``depth`` head radii nearer than the head's centre is seen.

    Ears and the nose stand out and are seen a little longer than eyes when the head turns.
    """
    return depth > (-0.45 if ear else -0.1 if nose else 0.1)


def _tone(colour: Colour, factor: float) -> Colour:
    b, g, r = colour
    return min(b * factor, 255.0), min(g * factor, 255.0), min(r * factor, 255.0)
