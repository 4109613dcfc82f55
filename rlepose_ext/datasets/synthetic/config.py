"""What can be chosen about the drawn people, checked once and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real

from rlepose_ext.errors import UserError

# Raised whenever the same seed would draw other pixels or other labels; data sets on
# disk that carry an older number are drawn again.
GENERATOR_VERSION = 2
GENERATOR = 'rlepose_ext.datasets.synthetic'
MAX_PERSONS = 8


@dataclass(frozen=True)
class SyntheticPeopleConfig:
    """Choices for :func:`rlepose_ext.datasets.synthetic.draw_image`.

    Attributes:
        width: smallest and largest image width in pixels, both included.
        height: smallest and largest image height in pixels, both included.
        persons: probabilities of 1, 2, 3, ... persons in an image (at most 8); sum 1.
        occlusion: probability that an object hides a part of a person, per person.
        truncation: probability that a person may leave the image, per person.
        pose_variety: factor on the spread of all joint angles; 0 draws the centre of
            each pose family only.
        back_view: probability that a person is seen from behind.
        side_view: probability that a person is seen from the side.
        clutter: largest number of objects in the background.
        noise: standard deviation of the pixel noise, in grey levels.
        jpeg_quality: 1 to 100.

    Raises:
        UserError: a value of the wrong kind or outside its range.
    """

    width: tuple[int, int] = (192, 256)
    height: tuple[int, int] = (224, 288)
    persons: tuple[float, ...] = (0.75, 0.18, 0.05, 0.02)
    occlusion: float = 0.15
    truncation: float = 0.08
    pose_variety: float = 0.8
    back_view: float = 0.15
    side_view: float = 0.1
    clutter: int = 6
    noise: float = 3.0
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        for name in ('width', 'height'):
            low, high = _pair(name, getattr(self, name))
            object.__setattr__(self, name, (low, high))
            if not 32 <= low <= high <= 4096:
                raise _bad(name, (low, high), 'two integers with 32 <= smallest <= largest <= 4096')
        object.__setattr__(self, 'persons', _probabilities(self.persons))
        for name in ('occlusion', 'truncation', 'back_view', 'side_view'):
            _real(name, getattr(self, name), 0, 1)
        if self.back_view + self.side_view > 1 + 1e-9:
            raise _bad(
                'back_view + side_view', self.back_view + self.side_view, 'a sum of at most 1'
            )
        _real('pose_variety', self.pose_variety, 0, 2)
        _real('noise', self.noise, 0, 64)
        for name, low, high in (('clutter', 0, 100), ('jpeg_quality', 1, 100)):
            if not isinstance(getattr(self, name), Integral):
                raise _bad(name, getattr(self, name), f'an integer from {low} to {high}')
            _real(name, getattr(self, name), low, high)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> SyntheticPeopleConfig:
        """Build from a plain mapping, e.g. out of a JSON file.

        Raises:
            UserError: an unknown name (the message lists the known ones) or a bad value.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(
                f'SyntheticPeopleConfig has no {", ".join(map(repr, unknown))}; '
                f'choose from {", ".join(known)}.'
            )
        return cls(**values)

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types; ``from_dict`` takes them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def as_config(config: SyntheticPeopleConfig | Mapping[str, object] | None) -> SyntheticPeopleConfig:
    """A config from a config, a mapping or ``None`` (the defaults)."""
    if config is None:
        return SyntheticPeopleConfig()
    if isinstance(config, SyntheticPeopleConfig):
        return config
    if isinstance(config, Mapping):
        return SyntheticPeopleConfig.from_dict(config)
    raise _bad('config', config, 'a SyntheticPeopleConfig, a mapping or None')


def _bad(name: str, value: object, expected: str) -> UserError:
    return UserError(f'SyntheticPeopleConfig: {name} must be {expected}, but it is {value!r}.')


def _real(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
        raise _bad(name, value, f'a number from {low} to {high}')


def _pair(name: str, value: object) -> tuple[int, int]:
    ok = isinstance(value, (tuple, list)) and len(value) == 2
    if not ok or not all(isinstance(v, Integral) for v in value):
        raise _bad(name, value, 'a pair of integers (smallest, largest)')
    return int(value[0]), int(value[1])


def _probabilities(value: object) -> tuple[float, ...]:
    expected = f'1 to {MAX_PERSONS} probabilities that sum to 1'
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= MAX_PERSONS:
        raise _bad('persons', value, expected)
    if not all(isinstance(v, Real) and 0 <= v <= 1 for v in value) or abs(sum(value) - 1) > 1e-6:
        raise _bad('persons', value, expected)
    return tuple(float(v) for v in value)
