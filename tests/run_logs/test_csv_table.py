"""The table stays whole: new columns, resumed runs, kills, full disks."""

import csv
import math

import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.run_logs.csv_table import CSVTable


def read(path):
    with path.open(newline='') as stream:
        return list(csv.DictReader(stream))


def test_columns_that_appear_later(tmp_path):
    path = tmp_path / 'new' / 'train.csv'
    table = CSVTable(path)
    table.append(1, {'loss': 0.5})
    table.append(2, {'loss': 1 / 3, 'acc': 1})
    table.append(3, {'acc': 0})
    assert path.read_text() == 'step,loss,acc\n1,0.5,\n2,0.3333333333333333,1\n3,,0\n'
    assert [each.name for each in path.parent.iterdir()] == ['train.csv']


def test_a_resumed_run_replaces_the_steps_it_repeats(tmp_path):
    path = tmp_path / 'train.csv'
    first = CSVTable(path)
    for step in (10, 20, 30):
        first.append(step, {'loss': step})
    second = CSVTable(path)
    second.append(20, {'loss': -20, 'lr': 0.1})
    second.append(30, {'loss': -30, 'lr': 0.1})
    assert path.read_text() == 'step,loss,lr\n10,10,\n20,-20,0.1\n30,-30,0.1\n'


@pytest.mark.parametrize('torn', ['30,0.', '30', '\0\0\0\0\n', '30,1,2,3\n', 'x,1\n'])
def test_half_a_row_of_a_killed_run_is_dropped(tmp_path, torn):
    path = tmp_path / 'train.csv'
    path.write_text('step,loss\n10,1\n20,2\n' + torn)
    CSVTable(path).append(40, {'loss': 4})
    assert path.read_text() == 'step,loss\n10,1\n20,2\n40,4\n'
    for first_line in ('', 'step', 'step,lo'):
        path.write_text(first_line)
        CSVTable(path).append(1, {'loss': 4})
        assert path.read_text() == 'step,loss\n1,4\n'


def test_values_and_names_that_need_care(tmp_path):
    path = tmp_path / 'val.csv'
    CSVTable(path).append(1, {'coco/AP .5': 0.1, 'a,"b"': math.nan, 'c': math.inf, 'd': 1e-17})
    (row,) = read(path)
    assert row == {'step': '1', 'coco/AP .5': '0.1', 'a,"b"': 'nan', 'c': 'inf', 'd': '1e-17'}


def test_a_file_of_somebody_else_stays(tmp_path):
    path = tmp_path / 'train.csv'
    path.write_text('image,person\n1,2\n')
    with pytest.raises(UserError, match=r"train\.csv: expected .*'step'.*image,person"):
        CSVTable(path)
    assert path.read_text() == 'image,person\n1,2\n'


def test_goes_on_after_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / 'train.csv'
    table = CSVTable(path)
    table.append(1, {'loss': 1})
    real = type(path).open

    def full_disk(self, mode='r', *args, **options):
        stream = real(self, mode, *args, **options)
        if 'a' in mode:
            stream.write('2,')
            stream.close()
            raise OSError(28, 'No space left on device')
        return stream

    with monkeypatch.context() as patch:
        patch.setattr(type(path), 'open', full_disk)
        with pytest.raises(OSError, match='No space'):
            table.append(2, {'loss': 2})
    table.append(3, {'loss': 3})
    assert path.read_text() == 'step,loss\n1,1\n3,3\n'
