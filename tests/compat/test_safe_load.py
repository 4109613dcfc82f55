"""What may stand in a checkpoint: single cases, beside the whole runs of test_checkpoints.py."""

import numpy as np
import pytest
import torch

from rlepose_ext.compat._safe_load import load_file
from rlepose_ext.errors import UserError


def test_arrays_without_elements_load(tmp_path):
    # as in the metainfo of WFLW, which has neither skeleton nor sigmas
    torch.save({'sigmas': np.zeros((0, 3), np.uint8)}, tmp_path / 'empty.pth')
    assert load_file(tmp_path / 'empty.pth')['sigmas'].shape == (0, 3)


class _Bytes:
    def __reduce__(self):
        return bytes, (10,)


def test_bytes_of_any_length_are_refused(tmp_path):
    torch.save({'a': _Bytes()}, tmp_path / 'long.pth')
    with pytest.raises(UserError, match=r'cannot be read|was not loaded'):
        load_file(tmp_path / 'long.pth')
