"""PoseEstimator against MMPose's inference_topdown, under the same weights."""

import pickle
import threading
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from mmpose.models import PoseDataPreprocessor
from PIL import Image

from rlepose_ext.convert import files, mmpose_clean
from rlepose_ext.errors import UserError
from rlepose_ext.inference import PoseEstimator
from rlepose_ext.inference.network import normalise_crops, optimise, with_mirrored
from rlepose_ext.resources import resource

RLE = 'configs/rle/rle_mobilenetv2-050_1xb256-420e_coco-192x192.py'
CONFIGS = {
    'rle': RLE,
    'heatmap': 'configs/hrnet_lite/heatmap_hrnetlite_1xb64-210e_coco-256x192.py',
    'simcc': 'configs/simcc_rle/simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192.py',
}


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Weights for each config: random, with batch norm statistics that are not trivial."""
    folder = tmp_path_factory.mktemp('weights')
    found = {}
    for name, config in CONFIGS.items():
        model = init_model(str(resource(config)), device='cpu')
        torch.manual_seed(0)
        for part in model.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.8, 1.2)
                torch.nn.init.uniform_(part.weight, 0.8, 1.2)
        for part in model.backbone.modules():
            if isinstance(part, torch.nn.Conv2d):
                # so that the input reaches the output
                torch.nn.init.kaiming_normal_(part.weight, mode='fan_in')
        found[name] = folder / f'{name}.pth'
        meta = {'dataset_meta': model.dataset_meta}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, found[name])
    return found


@pytest.fixture(scope='module')
def image():
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)


# px of crops 300 px wide: the order of float32 sums changes with the batch and the threads.
NEAR = 0.01
BOXES = np.array([[20, 30, 120, 230], [-15, -9, 60, 90], [200, 50, 350, 140]], np.float32)


@pytest.mark.parametrize(
    ('name', 'flip_test'),
    [
        ('rle', True),
        pytest.param('rle', False, marks=pytest.mark.slow),
        pytest.param('heatmap', True, marks=pytest.mark.slow),
        ('simcc', False),
    ],
)
def test_equal_to_mmpose(checkpoints, image, name, flip_test):
    config = Config.fromfile(str(resource(CONFIGS[name])))
    config.model.test_cfg.flip_test = flip_test
    config.model.test_cfg.score = 'logit'  # of SimCC, as MMPose
    stock = init_model(config, str(checkpoints[name]), device='cpu')
    expected = inference_topdown(stock, image, BOXES)
    estimate = PoseEstimator(config, checkpoints[name], device='cpu', batch_size=2)
    assert estimate.flip_test == flip_test
    assert estimate.done == ['fused', 'channels_last']
    found = estimate(image, BOXES)
    for index, sample in enumerate(expected):
        instances = sample.pred_instances
        near = np.abs(found.keypoints[index] - instances.keypoints[0]) < 0.05
        # The largest of many bins may be two that are equal but for rounding.
        assert near.mean() >= (1.0 if name == 'rle' else 0.94)
        np.testing.assert_allclose(found.scores[index], instances.keypoint_scores[0], 1e-3, 1e-3)
    assert (found.sigma is not None) == estimate.has_sigma == (name != 'heatmap')


def test_scores_of_simcc_are_of_the_distribution(checkpoints, image):
    """By default; points and sigma stay, and noise gives a network no reason to be sure."""
    config = resource(CONFIGS['simcc'])
    found, logits = (
        PoseEstimator(
            config, checkpoints['simcc'], device='cpu', cfg_options={'model.test_cfg.score': score}
        )(image, BOXES)
        for score in ('softmax', 'logit')
    )
    np.testing.assert_array_equal(found.keypoints, logits.keypoints)
    np.testing.assert_array_equal(found.sigma, logits.sigma)
    assert logits.scores.max() > 1 > 0.3 > found.scores.max() > 0
    default = PoseEstimator(config, checkpoints['simcc'], device='cpu')(image, BOXES)
    np.testing.assert_array_equal(default.scores, found.scores)
    sigma_scores = {'model.test_cfg.sigma_scores': True, 'model.test_cfg.flip_test': False}
    by_sigma = PoseEstimator(config, checkpoints['simcc'], device='cpu', cfg_options=sigma_scores)(
        image, BOXES[:1]
    )
    side = 1.25 * 200
    expected = 1 - by_sigma.sigma[0].mean(-1) / side
    np.testing.assert_allclose(by_sigma.scores[0], expected, rtol=1e-5)


def test_sigma_is_the_heads_in_image_px(checkpoints, image):
    estimate = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu', flip_test=False)
    found = estimate(image, BOXES[:1])
    # RLE scores 1 - mean sigma, in crop sizes; the crop is 1.25 times the longer side
    sigma = found.sigma[0] / (1.25 * 200)
    np.testing.assert_allclose(1 - sigma.mean(-1), found.scores[0], rtol=1e-5)


def test_kinds_of_input_and_lists(checkpoints, image, tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), image)
    estimate = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu')
    expected = estimate(image, BOXES).keypoints
    kinds = [path, str(path), image, Image.fromarray(image[..., ::-1])]
    results = estimate(kinds, [BOXES] * 4)
    for result in results:
        np.testing.assert_allclose(result.keypoints, expected, atol=NEAR)
    rgb = estimate(image[..., ::-1], BOXES, channel_order='rgb')
    np.testing.assert_allclose(rgb.keypoints, expected, atol=NEAR)
    # no boxes are the whole image, and an empty list of boxes is nobody
    mixed = estimate([image] * 4, [BOXES[:1], np.zeros((0, 4)), BOXES[1:], None])
    assert [len(result) for result in mixed] == [1, 0, 2, 1]
    np.testing.assert_allclose(mixed[2].keypoints, expected[1:], atol=NEAR)
    assert mixed[1].keypoints.shape == (0, 17, 2)
    assert mixed[3].boxes.tolist() == [[0, 0, 320, 240]]
    np.testing.assert_array_equal(estimate(image, []).plot(), image)
    assert estimate([]) == estimate([], boxes=[]) == []


def test_sigma_does_not_depend_on_who_shares_the_batch(checkpoints, image):
    """A frame with nobody, beside persons and alone, of a model that has been calibrated."""
    estimate = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu')
    found = {
        'spread': [[0.1, 0.1]] * 17,
        'correlation': [0.0] * 17,
        'radius': [[1, 2, 3]] * 17,
        'curve': None,
    }
    estimate.meta = {**estimate.meta, 'calibration': found}
    _, beside = estimate([image, image], [BOXES, []])
    for nobody in (beside, estimate(image, [])):
        assert nobody.sigma.shape == nobody.sigma_px.shape == (0, 17, 2)
        assert nobody.sigma.dtype == np.float32
        assert nobody.covariance_px.shape == (0, 17, 2, 2)
        assert nobody.ellipse_95.shape == (0, 17, 3)


@pytest.mark.slow
def test_nobody_of_a_model_without_sigma(checkpoints, image):
    estimate = PoseEstimator(resource(CONFIGS['heatmap']), checkpoints['heatmap'], device='cpu')
    _, beside = estimate([image, image], [BOXES[:1], []])
    assert beside.sigma is None
    assert estimate(image, []).sigma is None


def test_several_threads(checkpoints, image):
    estimate = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu')
    expected = [estimate(image, BOXES[i : i + 1]).keypoints for i in range(3)]
    wrong = []

    def call(index):
        for _ in range(3):
            found = estimate(image, BOXES[index : index + 1]).keypoints
            if np.abs(found - expected[index]).max() > NEAR:
                wrong.append(index)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
def test_bfloat16_is_near(checkpoints, image):
    model = resource(RLE), checkpoints['rle']
    exact = PoseEstimator(*model, device='cpu')(image, BOXES)
    rough = PoseEstimator(*model, device='cpu', dtype='bfloat16')(image, BOXES)
    assert 0 < np.abs(rough.keypoints - exact.keypoints).max() < 25


@pytest.mark.parametrize('channels', [1, 3])
def test_crops_become_what_the_preprocessor_makes(channels):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (3, 8, 6, channels), dtype=np.uint8)
    mean, std = [120.0, 110.0, 100.0][:channels], [50.0, 60.0, 70.0][:channels]
    preprocessor = PoseDataPreprocessor(mean, std, bgr_to_rgb=channels == 3)
    both = with_mirrored(crops)
    assert (both[:3] == crops).all()
    assert (both[3:] == crops[:, :, ::-1]).all()
    found = normalise_crops(both, preprocessor, torch.device('cpu'))
    images = [torch.from_numpy(crop).permute(2, 0, 1) for crop in both]
    expected = preprocessor({'inputs': images, 'data_samples': []})['inputs']
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_wrong_fusion_is_not_taken(checkpoints, monkeypatch):
    from rlepose_ext.inference import network

    def wrong(model):
        next(model.backbone.parameters()).data.mul_(1.5)
        return model

    monkeypatch.setattr(network, 'fuse_conv_bn', wrong)
    model = init_model(str(resource(RLE)), str(checkpoints['rle']), device='cpu')
    changed, done = optimise(model, (192, 192, 3))
    assert done == ['channels_last']
    assert changed is not model


def test_mmposes_inferencer_takes_our_configs(checkpoints, image):
    from mmpose.apis import MMPoseInferencer

    inferencer = MMPoseInferencer(
        str(resource(RLE)), str(checkpoints['rle']), device='cpu', det_model='whole_image'
    )
    (result,) = inferencer(image, show=False)
    (person,) = result['predictions'][0]
    expected = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu')(image)
    np.testing.assert_allclose(person['keypoints'], expected.keypoints[0], atol=0.05)


def test_bad_input(checkpoints, image, tmp_path):
    for config, checkpoint, options, message in (
        ('configs/rle/absent.py', None, {}, 'does not exist'),
        (RLE, 'absent.pth', {}, r'absent\.pth does not exist'),
        (CONFIGS['heatmap'], checkpoints['rle'], {'device': 'cpu'}, r'backbone\.conv1\.weight'),
        (RLE, None, {'dtype': 'int8'}, 'dtype'),
        (RLE, None, {'batch_size': 0}, 'batch_size'),
    ):
        with pytest.raises(UserError, match=message):
            PoseEstimator(config if 'absent' in config else resource(config), checkpoint, **options)
    estimate = PoseEstimator(resource(RLE), checkpoints['rle'], device='cpu')
    for arguments, message in (
        ((image, [[0, 0, np.nan, 4]]), 'finite'),
        ((image, BOXES, [0.5, 0.5]), 'each of 3 boxes, got 2'),
        ((image, BOXES[:1], [[0.5], [0.5, 0.5]]), 'box_scores'),
        (([image, image], [BOXES]), 'each of 2 images, got 1'),
    ):
        with pytest.raises(UserError, match=message):
            estimate(*arguments)


def test_the_figures_of_the_documentation(shared, tmp_path):
    weights = shared / 'weights/mmpose_clean_rle_mbv2_0.50x_192x192_float.pth'
    if not weights.is_file():
        pytest.skip('no MMPose_Clean weights')
    files.write_checkpoint(
        tmp_path / 'model.pth', mmpose_clean.convert_model(files.read_state_dict(weights)), {}
    )
    photograph = Path(matplotlib.get_data_path()) / 'sample_data/grace_hopper.jpg'
    estimate = PoseEstimator(Path(RLE).stem, tmp_path / 'model.pth', device='cpu')
    found = estimate(photograph, boxes=[[-40, 20, 552, 1200]])
    some = [0, 5, 9]
    joints = [[272.7, 221.8], [458.1, 429.5], [279.5, 596.9]]
    np.testing.assert_allclose(found.keypoints[0, some], joints, atol=0.2)
    np.testing.assert_allclose(found.scores[0, some], [0.93, 0.87, 0.35], atol=0.01)
    np.testing.assert_allclose(found.meta['sigma_spread'], [0.136, 0.122], atol=1e-3)
    copied = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(copied.sigma_px, found.sigma_px)
    deviation = [[12.8, 13.5], [25.3, 22.6], [135.4, 112.4]]
    np.testing.assert_allclose(found.sigma_px[0, some], deviation, atol=0.2)
    assert found.plot(draw_sigma=True).shape == (600, 512, 3)
    (entry,) = found.to_coco(image_id=785)
    assert entry['score'] == pytest.approx(0.601, abs=0.005)
    assert entry['bbox'] == [-40.0, 20.0, 592.0, 1180.0]
    assert [len(result) for result in estimate([photograph] * 2, boxes=[None, []])] == [1, 0]
