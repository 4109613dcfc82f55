"""Labels that are broken at random: a result or one message, never another exception."""

import random

import pytest
from formats import WRITERS

from rlepose_ext.cli.main import main
from rlepose_ext.own_data import project

TRIALS = 24
TOKENS = ('nan', 'inf', '-1', '1e999', '""', 'null', '[]', '{}', 'x', '', '99999999999', '0.5', '<')


def spoil(data, generator):
    """Bytes with one thing changed: cut, a byte flipped, a word replaced or a line lost."""
    how = generator.choice(('cut', 'byte', 'word', 'word', 'word', 'word', 'line', 'twice'))
    place = generator.randrange(len(data))
    if how == 'cut':
        return data[:place]
    if how == 'byte':
        return data[:place] + bytes([generator.randrange(256)]) + data[place + 1 :]
    if how in ('line', 'twice'):
        lines = data.splitlines(keepends=True)
        at = generator.randrange(len(lines))
        return b''.join(
            [*lines[:at], *([lines[at]] * 2 if how == 'twice' else []), *lines[at + 1 :]]
        )
    text = data.decode()
    start = place
    while start < len(text) and not text[start].isalnum():
        start += 1
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] in '._'):
        end += 1
    return (text[:start] + generator.choice(TOKENS) + text[end:]).encode()


@pytest.fixture
def run(geckos, monkeypatch, capsys):
    monkeypatch.setattr(project, 'write_sheet', lambda *args, **options: None)  # slow, and not read

    def start(labels):
        status = main(['init', str(geckos), '--labels', str(labels), '--force'])
        said = capsys.readouterr().err
        assert status in (0, 2)
        assert said.count('rlepose: error: ') == (status == 2), said
        assert 'Traceback' not in said
        return status

    return start


@pytest.mark.slow
@pytest.mark.parametrize('kind', WRITERS)
def test_spoiled_labels(labels_as, run, kind):
    path = labels_as(kind)
    files = [f for f in sorted(path.parent.rglob('*')) if f.suffix in ('.txt', '.yaml')]
    files = sorted(path.iterdir()) if path.is_dir() else files if kind == 'yolo' else [path]
    generator, statuses = random.Random(kind), set()
    for trial in range(TRIALS):
        file = generator.choice(files)
        before = file.read_bytes()
        file.write_bytes(spoil(before, generator))
        try:
            statuses.add(run(path))
        except Exception as error:
            raise AssertionError(f'trial {trial}: {file.read_bytes()[:300]}') from error
        finally:
            file.write_bytes(before)
    assert statuses == {0, 2}


@pytest.mark.parametrize('kind', WRITERS)
def test_empty_and_foreign_files(geckos, labels_as, run, kind, capsys):
    path = labels_as(kind)
    if path.is_dir():
        path = path / 'gecko_0001.png.json'
    for other in (
        b'',
        b'\xff\xfe\x00binary',
        b'[]',
        b'{}',
        b'a: 1',
        b'<a/>',
        b'image,nose_x\nb,1\n',
    ):
        path.write_bytes(other)
        assert run(path) == 2


@pytest.mark.parametrize(
    ('labels', 'said'),
    [
        ('gone.json', 'exists neither here'),
        ('csv', 'expected one file *.csv'),
        ('labelme', 'has no labels of labelme'),
        ('new/gecko_0009.png', 'expected a file with one of'),
    ],
)
def test_no_labels(geckos, capsys, labels, said):
    assert main(['init', str(geckos), '--labels', labels]) == 2
    assert said in capsys.readouterr().err
