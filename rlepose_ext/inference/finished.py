"""Which inputs of a long run are done: a record that survives the end of the process.

Each process appends to a file of its own beside the outputs, ``finished.jsonl`` or, of shard 2 of
8, ``finished-2-of-8.jsonl``. A line is a JSON object, written at once and forced to the disk:

- ``run``: a run began. ``command`` has the options on which results depend, ``inputs`` the names
  of what this process is to do, ``total`` their number over all shards;
- ``done``: the outputs of an input have their final names. It has their sizes, and size and time
  of the input, so that a changed input is run again;
- ``failed``: an input that could not be used.

An input is called after its drawn file, whose name no other input of the folder shares. A line
that a kill has torn is cut off when the next run begins.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlepose_ext.errors import UserError
from rlepose_ext.inference.sources import Source

_NAME = re.compile(r'finished(?:-(\d+)-of-(\d+))?\.jsonl')
# Options that say what to do, where and how fast, but change no result.
_NO_RESULT = ('argv', 'batch_size', 'device', 'input', 'output_root', 'quiet', 'resume', 'run')
_NO_RESULT += ('shard', 'show', 'show_interval')


@dataclass(frozen=True)
class Shard:
    """One of several processes that share a list of inputs.

    Attributes:
        number: of this one, from 1.
        count: how many there are.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises:
            UserError: another form, or I is not in 1 to N.
        """
        match = re.fullmatch(r'(\d{1,9})/(\d{1,9})', text)
        shard = cls(*map(int, match.groups())) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.count:
            raise UserError(f'--shard: expected I/N with I from 1 to N, such as 2/8, got {text!r}')
        return shard

    def of(self, sources: Sequence[Source]) -> list[Source]:
        """The inputs of this shard: every N-th of the whole list, sorted by name."""
        for source in sources:
            if source.is_live and self.count > 1:
                raise UserError('--shard: a camera or stream cannot be divided')
        ordered = sorted(sources, key=lambda source: (source.output_name, str(source.path)))
        return ordered[self.number - 1 :: self.count] if self.count > 1 else list(sources)

    @property
    def record(self) -> str:
        """Name of its record."""
        if self.count == 1:
            return 'finished.jsonl'
        return f'finished-{self.number}-of-{self.count}.jsonl'


class Record:
    """The record of one process.

    Args:
        folder: of the outputs; it is made.
        shard: which part this process does.
        command: options on which results depend, as :func:`command_of` gives them.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, folder: Path, shard: Shard, command: Mapping[str, Any]) -> None:
        self.folder, self.shard, self.command = folder, shard, dict(command)
        self.path = folder / shard.record
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            _cut_torn_line(self._file)
        except OSError as error:
            raise UserError(f'{self.path} cannot be written: {error.strerror}') from error

    def begin(self, sources: Sequence[Source], resume: bool) -> tuple[list[Source], str]:
        """Note that a run begins.

        Args:
            sources: the inputs of all shards.
            resume: leave out what is done.

        Returns:
            What this process has to do, and a line for the user, empty if nothing is left out.
        """
        mine = self.shard.of(sources)
        pending, others = mine, 0
        if resume:
            known = read_records(self.folder)
            pending = [source for source in mine if not self._is_done(source, known)]
            others = sum(
                source.output_name in known.done
                and known.done[source.output_name]['command'] != self.command
                for source in pending
            )
        names = [source.output_name for source in mine if not source.is_live]
        total = sum(not source.is_live for source in sources)
        run = {'run': f'{self.shard.number}/{self.shard.count}', 'total': total}
        self._append({**run, 'command': self.command, 'inputs': names})
        said = []
        if len(mine) > len(pending):
            said.append(f'{len(mine) - len(pending)} of {len(mine)} inputs are done')
        if others:
            said.append(f'{others} were done with other options and are done again')
        return pending, '; '.join(said)

    def done(self, source: Source, frames: int) -> None:
        """Note that an input is done; its files have their final names."""
        if source.is_live:
            return
        names = [source.output_name]
        # Those of an earlier run with other options may lie there too.
        if self.command.get('save_predictions'):
            names += [f'results_{source.stem}.json', f'{source.stem}_coco.json']
        files = {name: self.folder / name for name in names}
        outputs = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
        line = {'done': source.output_name, 'path': source.label, 'kind': source.kind}
        self._append({**line, **_stamp(source), 'frames': frames, 'outputs': outputs})

    def failed(self, source: Source, error: Exception) -> None:
        """Note that an input could not be used."""
        line = {'failed': source.output_name, 'path': source.label, 'error': str(error)}
        self._append(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _is_done(self, source: Source, known: Known) -> bool:
        line = known.done.get(source.output_name)
        return (
            line is not None
            and line['command'] == self.command
            and {key: line.get(key) for key in ('size', 'mtime_ns')} == _stamp(source)
            and not list(damaged_outputs(self.folder, line))
        )

    def _append(self, line: dict[str, Any]) -> None:
        content = json.dumps(line).encode() + b'\n'
        try:
            while content:
                content = content[os.write(self._file, content) :]
            os.fsync(self._file)
        except OSError as error:
            raise UserError(f'{self.path} cannot be written: {error.strerror}') from error


@dataclass
class Known:
    """What the records of a folder say together.

    Attributes:
        done: name of an input to its line, with the ``command`` of its run.
        failed: name to its line, of inputs that are not done.
        expected: names of inputs that a run began with.
        total: the largest number of inputs of a run over all its shards.
        shards: those that have a record.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    total: int = 0
    shards: list[Shard] = field(default_factory=list)


def read_records(folder: Path) -> Known:
    """All records of a folder, also of shards of another number.

    Raises:
        UserError: a record that is none.
    """
    known = Known()
    found = [(path, _NAME.fullmatch(path.name)) for path in sorted(folder.glob('finished*.jsonl'))]
    # By age: of two lines on one input the later one holds.
    found.sort(key=lambda each: each[0].stat().st_mtime_ns)
    for path, match in found:
        if match is None:
            continue
        number, count = match.groups()
        known.shards.append(Shard(int(number or 1), int(count or 1)))
        run: dict[str, Any] = {}
        for line in _lines(path):
            if 'run' in line:
                run = line
            elif 'done' in line:
                known.done[line['done']] = {**line, 'command': run.get('command')}
                known.failed.pop(line['done'], None)
            elif 'failed' in line:
                known.failed[line['failed']] = line
                known.done.pop(line['failed'], None)
        known.expected |= set(run.get('inputs', ()))
        known.total = max(known.total, run.get('total', 0))
    return known


def damaged_outputs(folder: Path, line: Mapping[str, Any]) -> Iterator[str]:
    """Outputs of a finished input that are missing or have another size than they had."""
    for name, size in line['outputs'].items():
        try:
            if (folder / name).stat().st_size != size:
                yield name
        except OSError:
            yield name


def command_of(options: Mapping[str, Any], models: str) -> dict[str, Any]:
    """What results depend on, as plain JSON.

    Args:
        options: all options of the command, by name.
        models: what detects and estimates, by name.
    """
    command = {
        name: value if isinstance(value, (bool, int, float, str, list, type(None))) else str(value)
        for name, value in sorted(options.items())
        if name not in _NO_RESULT
    }
    # A checkpoint that is trained on keeps its name.
    files = [Path(text) for name in ('det', 'pose') for text in command.get(name) or ()]
    stamps = {str(file): file.stat().st_mtime_ns for file in files if file.is_file()}
    return {**command, 'models': models, 'files': stamps}


def _stamp(source: Source) -> dict[str, int | None]:
    try:
        status = source.path.stat()
    except OSError:
        return {'size': None, 'mtime_ns': None}
    return {'size': status.st_size, 'mtime_ns': status.st_mtime_ns}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open('rb') as file:
        for number, content in enumerate(file, 1):
            if not content.endswith(b'\n'):
                return
            try:
                line = json.loads(content)
                if not isinstance(line, dict):
                    raise ValueError('no object')
            except ValueError as error:
                raise UserError(
                    f'{path}, line {number}: not a record of finished inputs ({error}). Remove the '
                    'file to run its inputs again.'
                ) from error
            yield line


def _cut_torn_line(file: int) -> None:
    size = os.fstat(file).st_size
    kept = os.pread(file, size, 0).rfind(b'\n') + 1
    if kept < size:
        os.ftruncate(file, kept)
