"""Chains by name, from a small YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlepose_ext.errors import UserError
from rlepose_ext.resources import resource

SHIPPED = 'configs/heatmap_pretrain/chains.yml'


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        config: its file.
        takes: the part of the model, such as ``'backbone'``, whose weights come from the
            last checkpoint of the stage before; None in the first stage.
    """

    config: Path
    takes: str | None = None

    @property
    def name(self) -> str:
        """The config's name, which is that of the stage's folder too."""
        return self.config.stem


@dataclass(frozen=True)
class Chain:
    """Stages in their order.

    Attributes:
        name: what ``rlepose chain`` calls it.
        about: one line of text.
        stages: one or more.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        lines = [f'{self.name}: {self.about}']
        return '\n  '.join(lines + [f'{i}. {stage.name}' for i, stage in enumerate(self.stages, 1)])


def read_chains(file: str | Path | None = None) -> dict[str, Chain]:
    """All chains of a file, by name.

    Args:
        file: YAML: ``{NAME: {about: TEXT, stages: [{config: PATH, takes: PART}, ...]}}``,
            paths relative to the file. None for the project's own.

    Raises:
        UserError: the file is missing or not of this form, or a config does not exist.
    """
    path = resource(SHIPPED) if file is None else Path(file)
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f'{path} cannot be read as a file of chains: {error}') from error
    if not isinstance(content, dict) or not content:
        raise UserError(f'{path}: expected chains by name, got {_kind(content)}')
    return {str(name): _chain(path, str(name), entry) for name, entry in content.items()}


def find_chain(name: str, file: str | Path | None = None) -> Chain:
    """One chain.

    Raises:
        UserError: there is none of that name, or the file is wrong.
    """
    chains = read_chains(file)
    if name not in chains:
        raise UserError(f'there is no chain {name!r}. There are: {", ".join(chains)}')
    return chains[name]


def _chain(path: Path, name: str, entry: Any) -> Chain:
    where = f'{path}: chain {name!r}'
    _check_keys(where, entry, {'about', 'stages'}, {'stages'})
    listed = entry['stages']
    if not isinstance(listed, list) or not listed:
        raise UserError(f'{where}: stages must be a list of at least one, got {_kind(listed)}')
    stages = [_stage(path, f'{where}, stage {i + 1}', item) for i, item in enumerate(listed)]
    if stages[0].takes is not None:
        raise UserError(f'{where}: the first stage has none before it to take weights from')
    for number, stage in enumerate(stages[1:], 2):
        if stage.takes is None:
            raise UserError(f'{where}, stage {number}: say what it takes, such as takes: backbone')
    names = [stage.name for stage in stages]
    twice = sorted({stem for stem in names if names.count(stem) > 1})
    if twice:
        raise UserError(f'{where}: two stages are called {twice[0]}; their folders would be one')
    return Chain(name, str(entry.get('about', '')), tuple(stages))


def _stage(path: Path, where: str, entry: Any) -> Stage:
    _check_keys(where, entry, {'config', 'takes'}, {'config'})
    config = (path.parent / str(entry['config'])).resolve()
    if not config.is_file():
        raise UserError(f'{where}: config {config} does not exist; paths are relative to the file')
    takes = entry.get('takes')
    if takes is not None and not (isinstance(takes, str) and takes.isidentifier()):
        raise UserError(f"{where}: takes must be a part of the model, as 'backbone', got {takes!r}")
    return Stage(config, takes)


def _check_keys(where: str, entry: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(entry, dict):
        raise UserError(f'{where}: expected {", ".join(sorted(known))}, got {_kind(entry)}')
    for problem, keys in (('unknown', set(entry) - known), ('missing', needed - set(entry))):
        if keys:
            raise UserError(f'{where}: {problem} key {", ".join(sorted(map(str, keys)))}')


def _kind(value: Any) -> str:
    return 'nothing' if value is None else f'a {type(value).__name__}'
