"""The benchmark of costs, at a small scale: its rows, and going on where it stopped."""

import json

import pytest
import zoo_cost

from rlepose_ext.zoo import read_zoo
from rlepose_ext.zoo.measured import measured_costs

SLIM = 'rle_resnet18-slim_1xb16-6e_synthetic-96x72'
WARM_UP = 'simcc_resnet18-slim_1xb16-2e_synthetic-96x72'


def run(folder, *arguments):
    output = folder / 'zoo_cost.json'
    options = ['--output', str(output), '--peer', SLIM, '--repeats', '3', *arguments]
    status = zoo_cost.main(options)
    return status, json.loads(output.read_text()) if output.is_file() else None


@pytest.mark.slow
def test_measures_and_goes_on(tmp_path, capsys):
    status, content = run(tmp_path, '--only', WARM_UP)
    assert status == 0
    (row,) = content['rows']
    assert (row['name'], row['params']) == (WARM_UP, 714_705)
    assert row['config'] == f'configs/quickstart/{WARM_UP}.py'
    assert row['flops'] == 62_963_904
    assert row['input'] == [3, 96, 72]
    assert row['repeats'] == 3
    assert 0 < row['milliseconds']['q25'] <= row['milliseconds']['median']
    assert row['times_peer']['median'] > 0
    assert content['peer'] == SLIM
    assert content['machine']['threads'] == 1
    assert [path.name for path in tmp_path.iterdir()] == ['zoo_cost.json']

    capsys.readouterr()
    status, content = run(tmp_path, '--only', 'slim')
    assert status == 0
    assert [each['name'] for each in content['rows']] == [WARM_UP, SLIM]
    assert content['rows'][0] == row
    assert WARM_UP not in capsys.readouterr().out

    costs = measured_costs(tmp_path)
    cost = costs[row['config']]
    assert cost.flops == row['flops']
    assert cost.cpu_latency_ms == row['milliseconds']['median']
    zoo = {entry.name: entry for entry in read_zoo(results=tmp_path)}
    assert zoo[WARM_UP].cost == cost


@pytest.mark.slow
def test_rows_of_another_machine_are_not_mixed_in(tmp_path):
    _, content = run(tmp_path, '--only', WARM_UP)
    content['machine']['cpu'] = 'Some CPU'
    (tmp_path / 'zoo_cost.json').write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r"measured elsewhere: cpu 'Some CPU'.*--fresh"):
        run(tmp_path, '--only', SLIM)
    assert json.loads((tmp_path / 'zoo_cost.json').read_text()) == content
