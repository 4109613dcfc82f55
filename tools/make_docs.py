#!/usr/bin/env python3
"""Write the generated tables of the documents: ``make docs``.

    python tools/make_docs.py            # bring every block up to date
    python tools/make_docs.py --check    # change nothing; status 1 if a block is stale

A block lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Its text comes
from a file that a program has written or reads: ``benchmarks/results/*.json``,
``rlepose_ext.compat.PATCHES``, ``configs/rle/metafile.yml``.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
METAFILE = ROOT / 'configs' / 'rle' / 'metafile.yml'
OPS = ROOT / 'rlepose_ext' / 'compat' / 'mmcv_ops'

BLOCK = re.compile(
    r'(?P<open><!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(?P<close><!-- end -->)', re.S
)
# Opening and closing marks, to find those without a partner.
MARK = re.compile(r'<!-- (?:generated:.*?|end) -->')
NONE = '-'


def documents() -> list[Path]:
    """Every document that may hold blocks."""
    return sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/*/*.md')])


def render(text: str, source: str) -> str:
    """Replace the body of every block.

    Args:
        text: a document.
        source: its name, for messages.

    Raises:
        ValueError: an unknown block, or a mark without its partner.
    """

    def fill(match: re.Match) -> str:
        name = match['name']
        if name not in BLOCKS:
            raise ValueError(f'{source}: no block is called {name!r}; there are {sorted(BLOCKS)}')
        return f'{match["open"]}\n{BLOCKS[name]().strip()}\n\n{match["close"]}'

    blocks = list(BLOCK.finditer(text))
    if len(MARK.findall(text)) != 2 * len(blocks):
        raise ValueError(f'{source}: a "generated" mark without its "end", or the reverse')
    return BLOCK.sub(fill, text)


def stale() -> dict[Path, str]:
    """Documents that are not up to date, with the text that they should have."""
    wanted = {path: render(path.read_text(), path.name) for path in documents()}
    return {path: text for path, text in wanted.items() if text != path.read_text()}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, a head that ends with ``:`` is numbers."""
    lines = [
        '| ' + ' | '.join(cell.removesuffix(':') for cell in head) + ' |',
        '|' + '|'.join('---:' if cell.endswith(':') else '---' for cell in head) + '|',
    ]
    for row in rows:
        lines.append('| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in row) + ' |')
    return '\n'.join(lines)


def result(name: str) -> dict[str, Any] | None:
    """The content of ``benchmarks/results/<name>.json``, if it was measured."""
    path = RESULTS / f'{name}.json'
    return json.loads(path.read_text()) if path.is_file() else None


def how(content: dict[str, Any]) -> str:
    """One line on how the figures of a JSON file came about."""
    machine, versions = content.get('machine', {}), content.get('versions', {})
    place = machine.get('gpu') or machine.get('cpu') or machine.get('platform') or 'machine unknown'
    if machine.get('gpu') and machine.get('cpu'):
        place = f'{machine["gpu"]} and {machine["cpu"]}'
    parts = [place]
    if 'cores' in machine:
        used = machine.get('used_cores') or machine.get('threads')
        cores = f'{machine["cores"]} core' + ('s' if machine['cores'] != 1 else '')
        parts.append(f'{cores}, {used} in use' if used and used != machine['cores'] else cores)
    parts += [f'{name} {versions[name]}' for name in ('python', 'torch') if name in versions]
    if 'commit' in content:
        commit, plus, _ = content['commit'].partition('+')
        parts.append(f'commit {commit[:10]}' + (' with changes' if plus else ''))
    return f'*Measured by this project: `{content.get("command", "?")}`; {", ".join(parts)}.*'


def measured(name: str, script: str, make: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """A block made of one JSON file, or of a line that says how to get the file."""

    def block() -> str:
        content = result(name)
        if content is None:
            return f'*Not measured yet; `{script}` does it.*'
        return make(content) + '\n\n' + how(content)

    return block


def number(value: Any, digits: int | None = None) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return NONE
    return f'{value:,}' if digits is None else f'{value:,.{digits}f}'


def rle_loss(content: dict[str, Any]) -> str:
    """Forward plus backward of the loss, MMPose's and ours."""
    rows = []
    for row in content['rows']:
        ratio = row['times_faster']
        rows.append(
            (
                row['device'] + (', autocast' if row['autocast'] else ''),
                number(row['batch']),
                f'{row["visible"]:.0%}',
                f'{row["mmpose_ms"]["median"]:.4g}',
                f'{row["ours_ms"]["median"]:.4g}',
                f'**{ratio["median"]:.2f}** ({ratio["q25"]:.2f} to {ratio["q75"]:.2f})',
            )
        )
    head = ('device', 'batch:', 'visible joints:', 'MMPose ms:', 'ours ms:', 'times faster:')
    return table(head, rows)


def cpu_training(content: dict[str, Any]) -> str:
    """Images a second in training on the CPU."""
    rows = [
        (
            row['name'],
            number(row['images_per_second'], 1),
            f'{row["ratio_to_stock"]:.2f}',
            number(row['peak_memory_gb'], 1),
        )
        for row in content['rows']
    ]
    return table(('side', 'images a second:', 'times stock:', 'peak memory, GB:'), rows)


def cpu_training_accuracy(content: dict[str, Any]) -> str:
    """PCK on lsp_val after the same epochs, by seed, and the mean of each side."""
    thresholds = ('0.2', '0.1', '0.05')
    rows, means = [], {}
    for row in content['rows']:
        rows.append((row['name'], row['seed'], *(row['lsp_val_pck'][t] for t in thresholds)))
    for name in dict.fromkeys(row['name'] for row in content['rows']):
        side = [row['lsp_val_pck'] for row in content['rows'] if row['name'] == name]
        means[name] = [statistics.mean(pck[t] for pck in side) for t in thresholds]
        rows.append((f'**{name}**', f'mean of {len(side)}', *means[name]))
    if {'ours', 'stock'} <= set(means):
        pairs = zip(means['ours'], means['stock'], strict=True)
        rows.append(('ours less stock', '', *(f'{a - b:+.4f}' for a, b in pairs)))
    rows = [[f'{v:.4f}' if isinstance(v, float) else v for v in row] for row in rows]
    return table(('side', 'seed', *(f'PCK@{t}:' for t in thresholds)), rows)


def quickstart(content: dict[str, Any]) -> str:
    """What ``make demo`` reached, one row per machine."""
    rows = []
    for row in content['rows']:
        metrics = row.get('metrics', {})
        rows.append(
            (
                row.get('device', NONE),
                f'{number(row.get("num_train"))} / {number(row.get("num_val"))}',
                number(metrics.get('coco/AP'), 3),
                number(row.get('mean_pose_ap'), 3),
                number(row.get('train_seconds'), 0),
                number(row.get('total_seconds'), 0),
                number(row.get('samples_per_second'), 0),
            )
        )
    head = ('device', 'images, train / held out:', 'AP:', 'AP of the mean pose:')
    return table((*head, 'training s:', 'in all s:', 'samples a second:'), rows)


def synthetic(content: dict[str, Any]) -> str:
    """Images drawn and written in a second."""
    rates = content['rows'][0]['repeats']
    head = ('images a second, median:', 'lowest:', 'highest:', 'repeats:')
    middle = number(statistics.median(rates), 0)
    return table(head, [(middle, number(min(rates), 0), number(max(rates), 0), len(rates))])


def rle_configs() -> str:
    """The configs, quoted figures from the metafile, our own from JSON."""
    rows = []
    for model in yaml.safe_load(METAFILE.read_text())['Models']:
        stem, meta = model['Name'], model['Metadata']
        metrics = model['Results'][0]['Metrics'] if model.get('Results') else {}
        quoted = [f'{100 * metrics[key]:.4g}' if key in metrics else NONE for key in ('AP', 'AR')]
        rows.append(
            (
                f'[{re.match(r"(.+?)_[0-9]+xb", stem)[1]}]({stem}.py)',
                f'{meta["Architecture"][-1]}, {meta["Pretraining"]}',
                f'{" + ".join(meta["Training Data"])} {stem.rpartition("-")[2]}',
                number(meta['Parameters']),
                *quoted,
                meta.get('Quoted From', NONE),
                _lsp_here() if 'lsp' in stem else NONE,
            )
        )
    head = ('config', 'backbone, starts from', 'data, input', 'parameters:')
    return table((*head, 'quoted AP:', 'quoted AR:', 'quoted from', 'measured here'), rows)


def _lsp_here() -> str:
    content = result('cpu_training_accuracy')
    rows = [row for row in content['rows'] if row['name'] == 'ours'] if content else []
    if not rows:
        return NONE
    mean = statistics.mean(row['lsp_val_pck']['0.2'] for row in rows)
    return f'PCK@0.2 {mean:.3f} ({len(rows)} seed{"s" if len(rows) > 1 else ""})'


def patches() -> str:
    """Every patch of the compatibility layer."""
    from rlepose_ext.compat import PATCHES

    rows = [(f'`{patch.name}`', patch.breaks, patch.since, patch.until) for patch in PATCHES]
    return table(('patch', 'without it', 'since', 'can go when'), rows)


def mmcv_ops() -> str:
    """The compiled ops that have a stand-in, read from the files without importing torch."""
    rows = []
    for path in sorted(OPS.glob('[!_]*.py')):
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
                names = [ast.literal_eval(name) for name in node.value.elts]
                title = ast.get_docstring(tree).splitlines()[0].rstrip('.')
                rows.append((title, ', '.join(f'`{name}`' for name in names)))
    return table(('what', "names in mmcv's compiled module"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    'rle_loss': measured('rle_loss', 'python benchmarks/rle_loss.py', rle_loss),
    'cpu_training': measured('cpu_training', 'python benchmarks/cpu_training.py', cpu_training),
    'cpu_training_accuracy': measured(
        'cpu_training_accuracy',
        'python benchmarks/cpu_training.py --accuracy',
        cpu_training_accuracy,
    ),
    'quickstart': measured('quickstart', 'make demo', quickstart),
    'synthetic': measured(
        'synthetic',
        'python benchmarks/synthetic.py',
        synthetic,
    ),
    'rle_configs': rle_configs,
    'patches': patches,
    'mmcv_ops': mmcv_ops,
}


def main() -> int:
    """0, or 1 when ``--check`` found a stale block."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing, report stale files')
    args = parser.parse_args()
    found = stale()
    for path, text in found.items():
        name = path.relative_to(ROOT)
        if args.check:
            print(f'{name}: generated tables are stale, run `make docs`', file=sys.stderr)
        else:
            path.write_text(text)
            print(f'{name}: written')
    return 1 if args.check and found else 0


if __name__ == '__main__':
    sys.exit(main())
