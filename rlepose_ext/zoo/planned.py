"""Systems of the founding documents that are not built yet, for `rlepose zoo` to say so."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A system that the zoo will have.

    Attributes:
        row: its number in the project's list of systems.
        name: what one would look for.
        what: in one line.
        paper: URL, or None where there is no paper.
    """

    row: int
    name: str
    what: str
    paper: str | None = None


PLANNED = (
    Planned(
        20,
        'Poseur',
        'ResNet-50, a transformer decoder that refines regressed joints by deformable attention',
        'https://arxiv.org/abs/2201.07412',
    ),
    Planned(
        31,
        'TokenPose',
        'T, S, B and L: learned joint tokens beside visual tokens in a transformer',
        'https://arxiv.org/abs/2104.03516',
    ),
    Planned(
        33,
        'AdaptivePose',
        'HRNet-W32 at 512 and W48 at 640: persons as adaptive points, no detector',
        'https://arxiv.org/abs/2112.13635',
    ),
    Planned(
        34,
        'PoseFix',
        "ResNet-50 and ResNet-152 that correct another model's poses",
        'https://arxiv.org/abs/1812.03595',
    ),
    Planned(
        35,
        'YOLO-Pose',
        'the anchor-based YOLOv5-s6 at 960; YOLOX-Pose-s is its relative in the zoo',
        'https://arxiv.org/abs/2204.06806',
    ),
)
