"""An entry as text: its model card, its commands, its figures, its JSON."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from rlepose_ext.chain.table import read_chains
from rlepose_ext.convert.movenet import LICENCE
from rlepose_ext.zoo.files import MOVENET, of_entry
from rlepose_ext.zoo.measured import Result
from rlepose_ext.zoo.metafiles import Entry

# Errors, and what is in percent already; everything else is a fraction.
_AS_THEY_ARE = ('NME', 'EPE', 'MSE')
# Foreign weights that `rlepose weights` converts at once.
_READY = tuple(file.name for file in MOVENET)
_GPUS = re.compile(r'[_-](\d+)xb(\d+)')


def training_command(entry: Entry) -> str:
    """The command that trains a config."""
    return f'mim train mmpose {_path(entry)}'


def testing_command(entry: Entry) -> str:
    """The command that tests a config: on its public weights, or on ``CHECKPOINT``."""
    public = entry.weights or entry.converted_from in _READY
    checkpoint = f'"$(rlepose weights {entry.name})"' if public else 'CHECKPOINT'
    return f'mim test mmpose {_path(entry)} -C {checkpoint}'


def starting_note(entry: Entry) -> str | None:
    """Which file training needs that it cannot download."""
    if entry.pretrained_file is None:
        return None
    return (
        f'it needs {entry.pretrained_file} in RLEPOSE_WEIGHTS (default: weights); docs/zoo.md says '
        'how to get it'
    )


def _ready_note(entry: Entry) -> str | None:
    """Foreign weights that the config takes, and who forbids what with them."""
    if entry.converted_from not in _READY:
        return None
    return f'{of_entry(entry).what}: rlepose weights {entry.name}. {LICENCE}'


def conversion_note(entry: Entry) -> str | None:
    """What makes a checkpoint for a config of foreign weights."""
    if entry.converted_from is None or entry.converted_from in _READY:
        return None
    source = f'"$(rlepose weights {entry.converted_from})"'
    return f'a foreign one can be converted: rlepose convert mmpose-clean {source} OUT'


def _chains(entry: Entry) -> list[str]:
    """Chains that end with a config: they train what it starts from, too."""
    return [chain.name for chain in read_chains().values() if chain.stages[-1].name == entry.name]


def _path(entry: Entry) -> str:
    """The config as mim finds it from here: relative in the checkout, else absolute."""
    here = os.path.isfile(entry.config) and os.path.samefile(entry.config, entry.path)
    return shlex.quote(entry.config if here else str(entry.path))


def metric_text(name: str, value: float) -> str:
    """``AP 70.6``: fractions in percent, as papers print them; errors as they are."""
    if name.startswith(_AS_THEY_ARE) or value > 1:
        return f'{name} {value:.4g}' if value < 0.1 else f'{name} {value:.2f}'
    return f'{name} {100 * value:.4g}'


def headline(metrics: Mapping[str, float]) -> str:
    """The metrics without those of a threshold or a subset, unless there are no others."""
    main = [name for name in metrics if '@' not in name and ' ' not in name]
    return ', '.join(metric_text(name, metrics[name]) for name in main or list(metrics)[:1])


def result_text(result: Result, whole: bool = False) -> str:
    """``AP 70.6, AR 75.3 on COCO``.

    Args:
        result: the figures.
        whole: all metrics, not the main ones only.
    """
    metrics = result.metrics
    text = ', '.join(metric_text(*item) for item in metrics.items()) if whole else headline(metrics)
    return f'{text} on {result.dataset}'


def card(entry: Entry) -> str:
    """The model card: one fact a line."""
    lines = [f'{name:<12}{text}' for name, text in facts(entry)]
    return '\n'.join([entry.name, '', *lines])


def facts(entry: Entry) -> list[tuple[str, str]]:
    """What the model card says, in its order: a label, empty for a note, and a text."""
    found: list[tuple[str, str | None]] = [
        ('config', entry.config),
        ('family', f'{entry.family}, {entry.collection}'),
        ('paper', ' '.join(entry.paper) if entry.paper else None),
        ('model', ', '.join(entry.architecture)),
        ('trained on', ' + '.join(entry.training_data)),
        ('starts from', entry.pretraining),
        ('', starting_note(entry)),
        ('parameters', f'{entry.params:,} at inference'),
        *_cost_facts(entry),
    ]
    found += [('result', f'{result_text(r, True)} ({_source(r)})') for r in entry.results]
    if not entry.results:
        found.append(('result', 'none published, none measured here'))
    found += [
        ('cost', entry.training_cost),
        ('weights', entry.weights or _ready_note(entry) or 'none published for this config'),
        ('', conversion_note(entry)),
        ('licence', f'{entry.weights_license} (weights)' if entry.weights_license else None),
        ('more', entry.readme),
        ('train', training_command(entry)),
        ('', _scaling(entry)),
        *(('', f'rlepose chain {name}, with the stages before it') for name in _chains(entry)),
        ('test', testing_command(entry)),
    ]
    return [(name, text) for name, text in found if text]


def as_json(entry: Entry) -> dict[str, Any]:
    """An entry for programs; keys are documented in docs/zoo.md."""
    return {
        'name': entry.name,
        'config': entry.config,
        'family': entry.family,
        'collection': entry.collection,
        'architecture': list(entry.architecture),
        'training_data': list(entry.training_data),
        'pretraining': entry.pretraining,
        'params': entry.params,
        'flops': entry.cost.flops if entry.cost else None,
        'cpu_latency_ms': entry.cost.cpu_latency_ms if entry.cost else None,
        'results': [
            {
                'dataset': result.dataset,
                'metrics': dict(result.metrics),
                'measured': result.measured,
                'source': result.source,
            }
            for result in entry.results
        ],
        'source': entry.source,
        'training_cost': entry.training_cost,
        'weights': entry.weights,
        'weights_license': entry.weights_license,
        'paper': entry.paper[1] if entry.paper else None,
        'train': training_command(entry),
        'test': testing_command(entry),
    }


def _cost_facts(entry: Entry) -> list[tuple[str, str]]:
    if entry.cost is None:
        return []
    flops = entry.cost.flops
    facts = [('operations', f'{flops / 1e9:.4g} GFLOPs, {flops / 2e9:.4g} G multiply-adds')]
    return [*facts, ('CPU', f'{entry.cost.cpu_latency_ms:.4g} ms a picture, one thread')]


def _source(result: Result) -> str:
    runs = f', mean of {result.runs} trainings' if result.runs and result.runs > 1 else ''
    return result.source + runs


def _scaling(entry: Entry) -> str | None:
    """What the learning rate is for, where that is more than one process."""
    match = _GPUS.search(entry.name)
    if not match or match[1] == '1':
        return None
    gpus, samples = int(match[1]), entry.samples or int(match[2])
    text = f'({gpus} GPUs of {samples} samples; on other numbers add --auto-scale-lr'
    if entry.scaled_from:
        text += (
            f' --cfg-options auto_scale_lr.base_batch_size={gpus * samples}, because MMPose has '
            f'{entry.scaled_from} there'
        )
    return f'{text}; to start several: rlepose train CONFIG --launcher pytorch --gpus N)'
