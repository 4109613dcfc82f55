"""What docs/skps.md claims of the codec's speed is what was recorded; nothing is timed here."""

import json

import pytest

from rlepose_ext.zoo.measured import files


@pytest.fixture(params=files('skps_codec'), ids=lambda path: path.stem)
def rows(request):
    found = json.loads(request.param.read_text())['rows']
    return {(row['what'], row['joints']): row for row in found}


def test_encoding_of_98_landmarks_is_ten_times_faster_with_equal_targets(rows):
    row = rows['encode', 98]
    assert row['times_faster']['q25'] >= 10
    # float32 rounding of numbers up to the side of the map, 64
    assert row['max_difference'] <= 1e-5


@pytest.mark.parametrize('joints', [29, 98])
def test_decoding_a_batch_of_64_is_faster_with_equal_points(rows, joints):
    row = rows['decode', joints]
    assert row['faces'] == 64
    assert row['times_faster']['q25'] > 1
    assert row['max_difference'] == 0
