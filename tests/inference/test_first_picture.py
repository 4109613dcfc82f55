"""``rlepose demo`` of a picture loads what it uses."""

import subprocess
import sys

import cv2
import pytest
from random_weights import random_checkpoint

from rlepose_ext.inference.multipose import MODEL
from rlepose_ext.zoo import find

CODE = """
import sys
from rlepose_ext.cli.main import main
status = main(['demo', *sys.argv[1:], '--output-root', 'out', '--device', 'cpu'])
heavy = (
    'filelock', 'matplotlib', 'mmdet', 'mmpose.apis', 'mmpose.visualization', 'pandas', 'requests',
    'scipy', 'sympy', 'torch._dynamo', 'torch._prims', 'torch.distributed.fsdp',
    'torch.distributed.optim', 'torchvision',
)
print(status, [name for name in heavy if name in sys.modules])
"""


@pytest.fixture(scope='module')
def multipose(tmp_path_factory):
    config = str(find(MODEL).path)
    return config, random_checkpoint(config, tmp_path_factory.mktemp('weights') / 'multi.pth')


@pytest.mark.parametrize('model', [pytest.param('pose', marks=pytest.mark.slow), 'multipose'])
def test_a_picture_loads_nothing_that_it_does_not_use(model, request, noise, tmp_path):
    cv2.imwrite(str(tmp_path / 'photo.jpg'), noise(80, 60))
    files = request.getfixturevalue(model)
    arguments = ['photo.jpg', '--pose', *files, *(['--det', 'full'] if model == 'pose' else [])]
    done = subprocess.run(
        [sys.executable, '-c', CODE, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.stdout.splitlines()[-1:] == ['0 []'], done.stdout + done.stderr
    assert (tmp_path / 'out/photo.jpg').is_file()
