"""Converted MMPose_Clean models compute what they computed, and place joints on real people."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clean_model import clean_model
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import MODELS

from rlepose_ext.cli import convert
from rlepose_ext.convert import mmpose_clean
from rlepose_ext.errors import UserError
from rlepose_ext.models.count import count_parameters
from rlepose_ext.models.heads.rle_head import join_fc

CONFIG = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
SIMCC = 'configs/simcc/simcc_mobilenetv2-075_1xb64-210e_coco-{}.py'
FLOAT = 'mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
LSQ = 'mmpose_clean_rle_mbv2_0.50x_192x192.pth'


def our_model(root, split=False):
    init_default_scope('mmpose')
    config = Config.fromfile(root / CONFIG).model
    config.head.split = split
    config.backbone.init_cfg = None
    return MODELS.build(config).eval()


def run_cli(*arguments):
    parser = argparse.ArgumentParser()
    convert.add_parser(parser.add_subparsers())
    args = parser.parse_args(['convert', 'mmpose-clean', *map(str, arguments)])
    return args.run(args)


@pytest.mark.parametrize('split', [False, True])
def test_same_outputs(root, split):
    clean = clean_model()
    ours = our_model(root, split)
    state = mmpose_clean.convert_model(clean.state_dict(), split=split)
    result = ours.load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    assert all(key.startswith('head.loss_module.') for key in result.missing_keys)
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        coord, sigma = clean(image)
        outputs = ours.head.forward(ours.neck(ours.backbone(image)))
    assert outputs.shape == (2, 17, 4)
    assert coord.std() > 1e-3
    torch.testing.assert_close(outputs[..., :2], coord.view(2, 17, 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs[..., 2:], sigma.view(2, 17, 2), rtol=0, atol=1e-5)


@pytest.mark.parametrize('size', ['192x192', '256x192'])
def test_simcc_checkpoint_of_a_training(root, tmp_path, size):
    """``best.pth`` as its training writes it; loaded to the last key, with the same vectors."""
    height, width = map(int, size.split('x'))
    clean = clean_model(simcc=(width, height))
    content = {'epoch': 165, 'best_mAP': [0.586, 165], 'model': clean.state_dict()}
    torch.save({**content, 'optimizer_wrapper': {}, 'schedulers': []}, tmp_path / 'best.pth')
    run_cli(tmp_path / 'best.pth', tmp_path / 'out.pth')
    init_default_scope('mmpose')
    config = Config.fromfile(root / SIMCC.format(size)).model
    config.backbone.update(widen_factor=0.5, init_cfg=None)
    ours = MODELS.build(config).eval()
    written = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert written['meta']['kind'] == 'SimCC head'
    ours.load_state_dict(written['state_dict'])
    image = torch.randn(2, 3, height, width)
    with torch.no_grad():
        expected, found = clean(image), ours.head.forward(ours.backbone(image))
    assert found[0].shape == (2, 17, 2 * width)
    assert found[1].shape == (2, 17, 2 * height)
    for mine, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 1e-3
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_rows_by_hand():
    coord = torch.tensor([1.0, 2.0, 3.0, 4.0])
    sigma = torch.tensor([10.0, 20.0, 30.0, 40.0])
    joined = mmpose_clean.join_rows(coord, sigma)
    assert joined.tolist() == [1, 2, 10, 20, 3, 4, 30, 40]
    weights = torch.randn(34, 5), torch.randn(34, 5)
    assert torch.equal(mmpose_clean.join_rows(*weights), join_fc(*weights))
    with pytest.raises(UserError, match='same shape'):
        mmpose_clean.join_rows(coord, sigma[:2])


@pytest.mark.parametrize(('key', 'expected'), [
    ('block_0.1.dw_conv.weight', 'layer1.0.conv.0.conv.weight'),
    ('block_3.4.dw_bn.num_batches_tracked', 'layer4.3.conv.1.bn.num_batches_tracked'),
    ('block_0.1.conv.weight', None),
    ('block_7.1.conv.weight', None),
    ('block_1.0.conv.weight', None),
])  # fmt: skip
def test_backbone_keys(key, expected):
    assert mmpose_clean.map_backbone_key(key) == expected


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_backbone_file(tmp_path, root, prefix):
    backbone = clean_model().backbone.state_dict(prefix=prefix)
    torch.save(backbone, tmp_path / 'in.pth')
    run_cli(tmp_path / 'in.pth', tmp_path / 'new' / 'out.pth', '--backbone')
    ours = our_model(root).backbone
    checkpoint = str(tmp_path / 'new' / 'out.pth')
    # as the configs load it
    ours.init_cfg = {'type': 'Pretrained', 'prefix': 'backbone.', 'checkpoint': checkpoint}
    ours.init_weights()
    first = backbone[f'{prefix}block_0.1.dw_conv.weight']
    assert torch.equal(ours.layer1[0].conv[0].conv.weight, first)
    assert torch.equal(
        ours.layer7[0].conv[2].bn.running_mean, backbone[f'{prefix}block_6.1.pw_bn.running_mean']
    )


def test_does_not_overwrite(tmp_path):
    torch.save(clean_model().state_dict(), tmp_path / 'in.pth')
    (tmp_path / 'out.pth').write_text('precious')
    with pytest.raises(UserError, match='exists already; add --force'):
        run_cli(tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert (tmp_path / 'out.pth').read_text() == 'precious'
    run_cli(tmp_path / 'in.pth', tmp_path / 'out.pth', '--force')
    written = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert (written['meta']['source'], written['meta']['kind']) == ('MMPose_Clean', 'joint head')
    assert written['state_dict']['head.fc.weight'].shape == (68, 1280)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.pth', 'out.pth']
    with pytest.raises(UserError, match='is a folder'):
        run_cli(tmp_path / 'in.pth', tmp_path, '--force')


class Evil:
    def __reduce__(self):
        return os.system, ('true',)


@pytest.mark.parametrize(('content', 'options', 'message'), [
    (None, (), 'does not exist'),
    (b'no checkpoint', (), 'truncated, damaged or no torch file'),
    ({'state_dict': {'a': Evil()}}, (), r'it wants posix\.system, and so could execute code'),
    ([1, 2], (), 'holds no state dict but a list'),
    ('backbone', (), 'add --backbone'),
    ({'backbone.layer1.0.conv.0.conv.weight': torch.zeros(1)}, (), 'add --backbone'),
    (
        {'backbone.layer1.0.conv.0.conv.weight': torch.zeros(1)},
        ('--backbone',),
        r'backbone\.layer1.*in MMPose.s names already',
    ),
    ('heatmap head', (), 'head.final_layer.weight'),
    ('no sigma', (), 'no head.fc_sigma.weight'),
    ('no block_3', ('--backbone',), 'incomplete: no block_3'),
    ('SimCC', ('--split',), 'a SimCC model, .* leave --split out'),
    ('SimCC + RLE', (), 'head.fc_coord.weight'),
])  # fmt: skip
def test_bad_input_is_named(tmp_path, content, options, message):
    state = clean_model().state_dict()
    if content == 'backbone':
        content = {k: v for k, v in state.items() if k.startswith('backbone.')}
    elif content == 'heatmap head':
        content = {**state, 'head.final_layer.weight': torch.zeros(1)}
    elif content == 'no sigma':
        content = {k: v for k, v in state.items() if 'fc_sigma' not in k}
    elif content == 'no block_3':
        content = {k: v for k, v in state.items() if 'block_3' not in k}
    elif isinstance(content, str):
        simcc = clean_model(simcc=(192, 192)).state_dict()
        content = {**state, **simcc} if content == 'SimCC + RLE' else simcc
    path = tmp_path / 'in.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=message) as error:
        run_cli(path, tmp_path / 'out.pth', *options)
    assert str(path) in str(error.value)
    assert not (tmp_path / 'out.pth').exists()


def test_heatmap_model_gives_its_backbone(tmp_path):
    state = {**clean_model().state_dict(), 'head.final_layer.weight': torch.zeros(1)}
    torch.save(state, tmp_path / 'in.pth')
    run_cli(tmp_path / 'in.pth', tmp_path / 'out.pth', '--backbone')
    written = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert len(written) == 312
    assert all(key.startswith('backbone.') for key in written)


# --- the released model on real people ---------------------------------------------------


@pytest.fixture(scope='module')
def converted(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp('converted')
    run_cli(shared / 'weights' / FLOAT, out / 'joint.pth')
    run_cli(shared / 'weights' / FLOAT, out / 'split.pth', '--split')
    run_cli(shared / 'weights' / LSQ, out / 'lsq.pth')
    return out


@pytest.mark.parametrize('split', [False, True])
def test_released_model_loads_to_the_last_key(root, converted, split):
    ours = our_model(root, split)
    name = 'split.pth' if split else 'joint.pth'
    ours.load_state_dict(torch.load(converted / name, weights_only=True)['state_dict'])
    assert count_parameters(ours) == 774_788
    assert sum(p.numel() for p in ours.parameters()) == 774_788 + 53_784


# The second of the released files was trained on to be quantised (LSQ+), and is worse as it is.
@pytest.mark.parametrize(('file', 'flip', 'expected'), [
    ('joint.pth', False, 0.837),
    pytest.param('lsq.pth', False, 0.793, marks=pytest.mark.slow),
    pytest.param('joint.pth', True, 0.850, marks=pytest.mark.slow),
    ('split.pth', True, 0.850),
])  # fmt: skip
def test_released_models_on_real_people(root, shared, converted, tmp_path, file, flip, expected):
    from rlepose_ext.inference import annotated

    config = Config.fromfile(root / CONFIG)
    config.model.test_cfg.flip_test = flip
    config.model.head.split = file == 'split.pth'
    model = init_model(config, str(converted / file), 'cpu')
    folder = shared / 'data' / 'mmpose_samples' / 'coco'
    images = annotated.read_annotated(folder / 'test_coco.json', folder)
    assert sum(len(image.boxes) for image in images) == 12
    samples = annotated.predict_annotated(model, images)
    oks = annotated.mean_oks(images, samples, model.dataset_meta['sigmas'])
    assert oks == pytest.approx(expected, abs=5e-3)

    if flip and file == 'joint.pth':
        import mmcv

        pictures = annotated.draw_annotated(model, images, samples, tmp_path)
        assert len(pictures) == 4
        for picture, image in zip(pictures, images, strict=True):
            drawn, plain = mmcv.imread(str(picture)), mmcv.imread(str(image.path))
            assert drawn.shape == plain.shape
            changed = np.abs(drawn.astype(int) - plain).max(-1) > 100
            assert 0.001 < changed.mean() < 0.3


@pytest.mark.slow
def test_mim_test_takes_the_converted_checkpoint(root, shared, converted, tmp_path):
    samples = shared / 'data' / 'mmpose_samples' / 'coco'
    coco = tmp_path / 'data' / 'coco'
    boxes = coco / 'person_detection_results' / 'COCO_val2017_detections_AP_H_56_person.json'
    for link, source in (
        (coco / 'annotations' / 'person_keypoints_val2017.json', samples / 'test_coco.json'),
        (boxes, samples / 'test_coco_det_AP_H_56.json'),
        (coco / 'val2017', samples),
    ):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source.resolve())
    mim = Path(sys.executable).with_name('mim')
    command = [mim, 'test', 'mmpose', CONFIG, '-C', converted / 'joint.pth']
    command += ['--work-dir', tmp_path / 'work', '--out', tmp_path / 'metrics.json']
    done = subprocess.run(
        list(map(str, command)),
        cwd=root,
        env={**os.environ, 'RLEPOSE_DATA': str(tmp_path / 'data'), 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['coco/AP'] > 0.5
