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
        12,
        'quantisation',
        'int8 of the small MobileNetV2 models: after training (PTQ), LSQ+, during training (QAT)',
        'https://arxiv.org/abs/2004.09576',
    ),
)
