"""What may stand in a checkpoint: single cases, beside the whole runs of test_checkpoints.py."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from rlepose_ext.checkpoints.safe_load import load_file
from rlepose_ext.errors import UserError


def test_arrays_without_elements_load(tmp_path):
    # as in the metainfo of WFLW, which has neither skeleton nor sigmas
    torch.save({'sigmas': np.zeros((0, 3), np.uint8)}, tmp_path / 'empty.pth')
    assert load_file(tmp_path / 'empty.pth')['sigmas'].shape == (0, 3)


def test_arrays_load_wherever_they_stand(tmp_path):
    array, dtype = np.arange(3), np.dtype('f4')
    model = torch.nn.Linear(1, 1).state_dict()
    model.note = array  # beside the entries, where torch keeps versions
    content = {'list': [(1, [array])], 'twice': array, 'dtype': dtype, 'model': model}
    content['self'] = content
    torch.save(content, tmp_path / 'deep.pth')
    loaded = load_file(tmp_path / 'deep.pth')
    assert loaded['self'] is loaded
    assert loaded['list'][0][1][0] is loaded['twice'] is loaded['model'].note
    assert loaded['dtype'] == dtype
    np.testing.assert_array_equal(loaded['twice'], array)


class _Bytes:
    def __reduce__(self):
        return bytes, (10,)


def test_bytes_of_any_length_are_refused(tmp_path):
    torch.save({'a': _Bytes()}, tmp_path / 'long.pth')
    with pytest.raises(UserError, match=r'cannot be read|was not loaded'):
        load_file(tmp_path / 'long.pth')


@pytest.mark.parametrize('value', [
    np.array([{'a': 1}, None], dtype=object),
    np.datetime64('2024-01-01'),
    np.zeros(2, [('x', 'f4'), ('y', 'i8')]),
], ids=['objects', 'date', 'records'])  # fmt: skip
def test_arrays_of_other_than_numbers_and_text_are_refused_by_name(tmp_path, value):
    torch.save({'a': value}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'it wants numpy\.dtype\('):
        load_file(tmp_path / 'a.pth')


def test_a_history_brings_no_functions_along(tmp_path):
    """mmengine's own class would take them, for every history of the process."""
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    history._statistics_methods = {'mean': torch.device}
    torch.save(history, tmp_path / 'history.pth')
    loaded = load_file(tmp_path / 'history.pth')
    assert type(loaded) is HistoryBuffer
    assert loaded.statistics('mean') == HistoryBuffer([1.0, 2.0], [1, 1]).statistics('mean') == 1.5
