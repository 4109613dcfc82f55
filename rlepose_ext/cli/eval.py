"""``rlepose eval``: COCO's numbers for a result file, without model and images."""

from __future__ import annotations

import argparse
import json
import sys


def add_parser(subparsers) -> None:
    """Register ``rlepose eval RESULTS ANNOTATIONS``."""
    parser = subparsers.add_parser(
        'eval',
        help="evaluate a result file in COCO's keypoint format",
        description='The numbers of CocoMetric for a result file that was written before.',
    )
    parser.add_argument('results', metavar='RESULTS', help='JSON list of detections')
    parser.add_argument('annotations', metavar='ANNOTATIONS', help='COCO keypoint annotations')
    parser.add_argument(
        '--sigmas',
        default='coco',
        metavar='coco|crowdpose|FILE',
        help="fall-offs of the joints: a data set, a JSON list, or MMPose's metainfo .py "
        '(default: coco)',
    )
    parser.add_argument(
        '--crowd', action='store_true', help="AP by CrowdPose's crowd index instead of by area"
    )
    parser.add_argument(
        '--area',
        choices=('annotation', 'bbox'),
        default='annotation',
        help="size of a person: the annotation's area (default), or 0.53 of its box",
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object instead')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print.

    Raises:
        UserError: a file cannot be used, or the two are swapped.
    """
    from rlepose_ext.evaluation.offline import evaluate_files

    stats, remarks = evaluate_files(
        args.results, args.annotations, args.sigmas, args.crowd, args.area == 'annotation'
    )
    if args.json:
        print(json.dumps(stats, indent=2))
        print(*remarks, sep='\n', file=sys.stderr)
    else:
        print(*remarks, '', sep='\n')
        print(table(stats))
    return 0


def table(stats: dict[str, float]) -> str:
    """One number a line; a dash where the annotations have no such person."""
    return '\n'.join(
        f'{name:<8}{f"{value:.4f}" if value > -1 else "-":>8}' for name, value in stats.items()
    )
