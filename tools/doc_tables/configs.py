"""Tables of configs: one per family, from its ``metafile.yml`` and what was measured here."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from typing import Any

import yaml

from doc_tables.common import NONE, ROOT, number, result, table

FAMILIES = tuple(sorted(path.parent.name for path in ROOT.glob('configs/*/metafile.yml')))
# This one has a table of its own, with what its configs differ in; a test compares it.
BY_HAND = ('simcc_rle',)


def models(family: str) -> list[dict[str, Any]]:
    """The entries of a family's metafile."""
    return yaml.safe_load((ROOT / 'configs' / family / 'metafile.yml').read_text())['Models']


def family_configs(family: str) -> Callable[[], str]:
    """A block: the configs of a family, quoted figures beside our own."""

    def block() -> str:
        rows = []
        for model in models(family):
            stem, meta = model['Name'], model['Metadata']
            rows.append(
                (
                    f'[{_short(stem)}]({stem}.py)',
                    f'{meta["Architecture"][-1]}, {meta["Pretraining"]}',
                    f'{" + ".join(meta["Training Data"])} {stem.rpartition("-")[2]}',
                    number(meta['Parameters']),
                    _quoted(model),
                    meta.get('Quoted From', NONE),
                    measured_here(stem),
                )
            )
        head = ('config', 'backbone, starts from', 'data, input', 'parameters:')
        return table((*head, 'quoted', 'quoted from', 'measured here'), rows)

    return block


def measured_here(stem: str) -> str:
    """What this project has measured of a config, or a dash."""
    if 'lsp' in stem:
        return _mean_of(
            'cpu_training_accuracy', 'ours', 'PCK@0.2', lambda r: r['lsp_val_pck']['0.2']
        )
    return NONE


def _short(stem: str) -> str:
    """``rle_res50_8xb64-210e_coco-256x192`` to ``rle_res50``."""
    return re.match(r'(.+?)[_-][0-9]+xb', stem)[1]


def _quoted(model: dict[str, Any]) -> str:
    """``AP 70.6, AR 75.3``: metrics in percent, as papers print them."""
    metrics = model['Results'][0].get('Metrics', {}) if model.get('Results') else {}
    cells = [
        # OpenMMLab's files have AP as a fraction and NME in percent.
        f'{key} {value:.2f}' if key.startswith('NME') else f'{key} {100 * value:.4g}'
        for key, value in metrics.items()
        if '@' not in key and ' ' not in key
    ]
    return ', '.join(cells) or NONE


def _mean_of(name: str, row_name: str, metric: str, value: Callable[[dict], float]) -> str:
    content = result(name)
    rows = [row for row in content['rows'] if row['name'] == row_name] if content else []
    if not rows:
        return NONE
    mean = statistics.mean(value(row) for row in rows)
    return f'{metric} {mean:.3f} ({len(rows)} seed{"s" if len(rows) > 1 else ""})'
