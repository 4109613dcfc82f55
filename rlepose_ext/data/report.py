"""Reports of a check as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rlepose_ext.data.check import PartReport
from rlepose_ext.data.flips import CONFIRMED, UNCLEAR, WRONG, FlipReport


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
