"""The zoo as data: every ``metafile.yml`` that ``model-index.yml`` names, read into entries.

The files have OpenMMLab's model-index form, so that mim reads them too. Their paths and
those of the configs are relative to the folder of ``model-index.yml``: the checkout, or
``rlepose_ext/.mim`` in an installed wheel. What was measured here, costs and results, is
not written into metafiles: it is joined from ``benchmarks/results/*.json``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from rlepose_ext.errors import UserError
from rlepose_ext.resources import resource
from rlepose_ext.zoo.measured import Cost, Result, measured_costs, measured_results

INDEX = 'model-index.yml'
# ten times as fast as the one in Python, where libyaml is there
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """One config of the zoo.

    Attributes:
        name: stem of the config file, unique in the project.
        config: its path as in the checkout, ``configs/<family>/<name>.py``.
        family: the folder of the config.
        collection: the method, as its metafile groups configs.
        paper: title and URL, where the collection names one.
        architecture: method first, backbone last.
        training_data: data sets.
        pretraining: what the weights start from.
        pretrained_file: what training reads of it in ``RLEPOSE_WEIGHTS``; nothing downloads it.
        params: parameter values at inference, without training-only flows.
        cost: operations and CPU time, where they were measured.
        results: figures, each with its source.
        quoted_from: where quoted figures and weights come from.
        training_cost: quoted cost of a training.
        weights: public URL of a checkpoint for exactly this config.
        weights_license: licence of that checkpoint.
        converted_from: foreign weights that ``rlepose convert`` makes a checkpoint of, by name.
        readme: the family's page, as in the checkout.
        samples: of a process in training, where it is not what the config's name says.
        scaled_from: the total batch that ``--auto-scale-lr`` takes the rate to be for, where that
            is not the batch of the config itself.
    """

    name: str
    config: str
    family: str
    collection: str
    params: int
    architecture: tuple[str, ...] = ()
    training_data: tuple[str, ...] = ()
    pretraining: str | None = None
    pretrained_file: str | None = None
    paper: tuple[str, str] | None = None
    cost: Cost | None = None
    results: tuple[Result, ...] = field(default=())
    quoted_from: str | None = None
    training_cost: str | None = None
    weights: str | None = None
    weights_license: str | None = None
    converted_from: str | None = None
    readme: str | None = None
    samples: int | None = None
    scaled_from: int | None = None

    @property
    def path(self) -> Path:
        """The config file of this installation.

        Raises:
            FileNotFoundError: the installation lacks it.
        """
        return resource(self.config)

    @property
    def source(self) -> str | None:
        """Where the figures come from: ``measured here``, whose they are, or None."""
        return '; '.join(dict.fromkeys(result.source for result in self.results)) or None


def read_zoo(index: str | Path | None = None, results: Path | None = None) -> tuple[Entry, ...]:
    """Every entry, families in the order of the index; the project's own are read once.

    Args:
        index: a ``model-index.yml``; the project's own if absent.
        results: folder of the JSON files of benchmarks; the project's own if absent.

    Raises:
        UserError: a file is missing, is no YAML, or lacks a field; it is named.
    """
    if index is None and results is None:
        return _own_zoo()
    return _read_zoo(Path(index) if index else resource(INDEX), results)


@functools.cache
def _own_zoo() -> tuple[Entry, ...]:
    return _read_zoo(resource(INDEX), None)


def _read_zoo(index: Path, results: Path | None) -> tuple[Entry, ...]:
    costs, figures = measured_costs(results), measured_results(results)
    found: dict[str, Entry] = {}
    for name in _get(_read(index), 'Import', list, index):
        for entry in _entries(index.parent / name, costs, figures):
            if entry.name in found:
                raise UserError(
                    f'{index.parent / name}: the name {entry.name!r} is taken by '
                    f'{found[entry.name].config}. Config names are unique in the project.'
                )
            found[entry.name] = entry
    return tuple(found.values())


def _entries(
    path: Path, costs: Mapping[str, Cost], figures: Mapping[str, tuple[Result, ...]]
) -> Iterator[Entry]:
    content = _read(path)
    collections = {
        _get(each, 'Name', str, path): each for each in _get(content, 'Collections', list, path)
    }
    for model in _get(content, 'Models', list, path):
        name = _get(model, 'Name', str, path)
        where = f'{path}, {name}'
        collection = _get(model, 'In Collection', str, where)
        if collection not in collections:
            raise UserError(
                f'{where}: In Collection is {collection!r}; the file defines {sorted(collections)}'
            )
        meta = _get(model, 'Metadata', dict, where)
        config = _get(model, 'Config', str, where)
        paper = collections[collection].get('Paper') or {}
        quoted_from = meta.get('Quoted From')
        yield Entry(
            name=name,
            config=config,
            family=PurePosixPath(config).parent.name,
            collection=collection,
            params=_get(meta, 'Parameters', int, where),
            architecture=tuple(_get(meta, 'Architecture', list, where)),
            training_data=tuple(_get(meta, 'Training Data', list, where)),
            pretraining=meta.get('Pretraining'),
            pretrained_file=meta.get('Pretrained File'),
            paper=(paper['Title'], paper['URL']) if {'Title', 'URL'} <= set(paper) else None,
            cost=costs.get(config),
            results=(*_quoted(model, quoted_from, where), *figures.get(name, ())),
            quoted_from=quoted_from,
            training_cost=meta.get('Training Cost'),
            weights=model.get('Weights'),
            weights_license=meta.get('Weights License'),
            converted_from=meta.get('Converted From'),
            readme=collections[collection].get('README'),
            samples=meta.get('Batch Size'),
            scaled_from=meta.get('Auto Scale LR From'),
        )


def _quoted(model: Mapping, quoted_from: str | None, where: str) -> Iterator[Result]:
    for result in model.get('Results') or ():
        metrics = result.get('Metrics')
        if metrics:
            yield Result(
                dataset=_get(result, 'Dataset', str, where),
                metrics={str(key): float(value) for key, value in metrics.items()},
                source=f'quoted: {quoted_from}' if quoted_from else 'quoted, source not named',
                task=result.get('Task'),
            )


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding='utf-8'), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'{path}: expected a metafile in YAML, but {error}') from error


def _get(node: Any, key: str, kind: type, where: Any) -> Any:
    """A field of the right type.

    Raises:
        UserError: it is missing or of another type.
    """
    value = node.get(key) if isinstance(node, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f'{where}: {key!r} should be a {kind.__name__}, got {value!r}. '
            'CONTRIBUTING.md says how a config is listed.'
        )
    return value
