"""Results of a check: findings with examples, and the report of a file as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rlepose_ext.annotations.flips import CONFIRMED, UNCLEAR, WRONG, FlipReport
from rlepose_ext.annotations.metainfo import PoseMeta
from rlepose_ext.annotations.pose_file import PoseFile
from rlepose_ext.annotations.statistics import JointStatistics

PROBLEM, NOTE = 'problem', 'note'
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        severity: ``'problem'``, which a training or an evaluation suffers from, or ``'note'``,
            which is worth knowing.
        what: a clause, such as ``'images are missing'``.
        count: how often.
        examples: the first few: ids, file names, or whole messages.
    """

    severity: str
    what: str
    count: int = 1
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        counted = f'{self.count:,} ' if self.count > 1 or self.examples else ''
        more = ', ...' if self.count > len(self.examples) else ''
        listed = f': {", ".join(self.examples)}{more}' if self.examples else ''
        return f'{self.severity}: {counted}{self.what}{listed}'


class Findings:
    """A list of findings that leaves out what was not found."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def problem(self, what: str, examples: Iterable[object] | None = None) -> None:
        """Add a problem: a single one, or one with its examples, unless there are none."""
        self._add(PROBLEM, what, examples)

    def note(self, what: str, examples: Iterable[object] | None = None) -> None:
        """The same for a note."""
        self._add(NOTE, what, examples)

    def _add(self, severity: str, what: str, examples: Iterable[object] | None) -> None:
        if examples is None:
            self._all.append(Finding(severity, what))
            return
        found = list(examples)
        if found:
            shown = tuple(str(example) for example in found[:_SHOWN])
            self._all.append(Finding(severity, what, len(found), shown))

    def __iter__(self) -> Iterator[Finding]:
        """Problems first."""
        yield from sorted(self._all, key=lambda finding: finding.severity == NOTE)


@dataclass
class PartReport:
    """What is known about one annotation file and its images.

    Attributes:
        title: such as ``'coco train'``.
        annotations, images: paths.
        counts: numbers of images, annotations, persons with labelled joints, labelled joints,
            and image files that were looked at.
        findings: problems first.
        joints: statistics.
        flips: None without poses.
        pose_file, meta: what was checked, for drawing.
    """

    title: str
    annotations: str
    images: str
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    joints: list[JointStatistics] = field(default_factory=list)
    flips: FlipReport | None = None
    pose_file: PoseFile | None = field(default=None, repr=False)
    meta: PoseMeta | None = field(default=None, repr=False)

    @property
    def problems(self) -> list[Finding]:
        """The findings that a training or an evaluation suffers from."""
        return [finding for finding in self.findings if finding.severity == PROBLEM]


def as_json(reports: Sequence[PartReport]) -> dict[str, Any]:
    """``{'ok': bool, 'parts': [...]}``, without NaN or infinity."""
    return {
        'ok': not any(report.problems for report in reports),
        'parts': [
            {
                'title': report.title,
                'annotations': report.annotations,
                'images': report.images,
                'counts': report.counts,
                'findings': [asdict(finding) for finding in report.findings],
                'joints': [asdict(joint) for joint in report.joints],
                'flips': asdict(report.flips) if report.flips else None,
            }
            for report in reports
        ],
    }


def as_text(reports: Sequence[PartReport]) -> str:
    """One paragraph for each part, and the number of problems."""
    lines: list[str] = []
    for report in reports:
        lines += [*_part(report), '']
    problems = sum(len(report.problems) for report in reports)
    lines.append(f'{problems} kinds of problems.' if problems else 'No problems.')
    return '\n'.join(lines)


def _part(report: PartReport) -> list[str]:
    lines = [f'{report.title}: {report.annotations}']
    counts = report.counts
    if counts:
        lines.append(
            f'  {counts["images"]:,} images ({counts["images_checked"]:,} files looked at), '
            f'{counts["annotations"]:,} annotations, {counts["persons"]:,} of them with '
            f'{counts["labelled_joints"]:,} labelled joints'
        )
    lines += [f'  {finding}' for finding in report.findings]
    if report.joints:
        width = max(5, *(len(joint.name) for joint in report.joints))
        lines.append(f'  {"joint":<{width}}  labelled  visible  outside  mean x, y in the box')
        for joint in report.joints:
            place = '-' if None in (joint.x, joint.y) else f'{joint.x:5.2f} {joint.y:5.2f}'
            lines.append(
                f'  {joint.name:<{width}}  {joint.labelled:8.1%}  {joint.visible:7.1%}  '
                f'{joint.outside:7.1%}  {place}'
            )
    if report.flips is not None:
        lines += _flips(report.flips)
    return lines


def _flips(flips: FlipReport) -> list[str]:
    by_name = 'contradicted' if flips.names else 'confirmed' if flips.sided else 'say nothing'
    numbers = ', '.join(f'{flips.count(kind)} {kind}' for kind in (CONFIRMED, UNCLEAR, WRONG))
    lines = [f'  flip pairs: by names {by_name}; by poses {numbers}']
    shown = [joint for joint in flips.joints if joint.joint <= joint.partner]
    if not shown:
        return lines
    width = max(len(f'{joint.joint} - {joint.partner}') for joint in shown)
    lines.append(f'  {"pair":<{width}}  mean x from the middle   cost (+-)        verdict')
    for joint in shown:
        pair = joint.joint if joint.joint == joint.partner else f'{joint.joint} - {joint.partner}'
        places = f'{joint.x:+.3f}'
        if joint.joint != joint.partner:
            places += f', {joint.partner_x:+.3f}'
        better = '' if joint.best == joint.partner else f'; less for {joint.best}'
        lines.append(
            f'  {pair:<{width}}  {places:<23}  {joint.cost:.3f} ({joint.error:.3f})    '
            f'{joint.verdict}{better if joint.verdict == WRONG else ""}'
        )
    return lines
