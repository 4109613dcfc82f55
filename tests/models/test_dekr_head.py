"""Several scales of DEKR's test: where poses come out, what they score, which are kept."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS, TRANSFORMS

from rlepose_ext.models.estimators import PyramidDataPreprocessor
from rlepose_ext.models.heads import DEKRHead

K = 17
CODEC = {
    'type': 'SPR',
    'input_size': (128, 128),
    'heatmap_size': (32, 32),
    'sigma': (4, 2),
    'minimal_diagonal_length': 1,
    'generate_keypoint_heatmaps': True,
    'decode_max_instances': 5,
}
# padded inputs (w, h) of an image at scale 1, 1/2 and 2: not quite in proportion
SIZES = {1.0: (160, 128), 0.5: (96, 64), 2.0: (320, 256)}
TEST = {'multiscale_test': True, 'nms_dist_thr': 0.15}


@pytest.fixture
def head():
    init_default_scope('mmpose')
    torch.manual_seed(0)
    rescore = {'in_channels': 74, 'norm_indexes': (5, 6)}
    config = {'in_channels': 8, 'num_keypoints': K, 'num_heatmap_filters': 4, 'decoder': CODEC}
    head = MODELS.build({'type': 'rlepose_ext.DEKRHead', **config, 'rescore_cfg': rescore})
    assert isinstance(head, DEKRHead)
    return head.eval()


def person(center, size):
    """Joints in input px, (1, K, 2)."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, K, 2))
    return (points * size + center).astype(np.float32)


def maps_of(persons, scale, strength=1.0):
    """What a network that knows the poses would give: maps and offsets of one scale."""
    (w1, h1), (w, h) = SIZES[1.0], SIZES[scale]
    sizes = {'input_size': (w, h), 'heatmap_size': (w // 4, h // 4)}
    codec = KEYPOINT_CODECS.build({**CODEC, **sizes})
    points = scale * (np.concatenate(persons) - [w1 / 2, h1 / 2]) + [w / 2, h / 2]
    encoded = codec.encode(points.astype(np.float32), np.ones((len(points), K), np.float32))
    heatmaps = torch.as_tensor(encoded['heatmaps'][None])
    return strength * heatmaps, torch.as_tensor(encoded['displacements'][None])


def decode(head, maps, scales=(0.5, 2.0), **options):
    metainfo = {
        'input_size': SIZES[1.0],
        'aug_scales': list(scales),
        'skeleton_links': [(i % 16, i % 16 + 1) for i in range(19)],  # as many as COCO's
    }
    with torch.no_grad():
        (found,) = head.decode(*zip(*maps, strict=True), {**TEST, **options}, metainfo)
    return found


def test_no_further_scale_is_mmposes_test(head):
    maps = [maps_of([person((40, 60), 50), person((110, 70), 60)], 1.0)]
    ours = decode(head, maps, scales=())
    theirs = decode(head, maps, multiscale_test=False)
    assert ours.keypoints.shape == (2, K, 2)
    np.testing.assert_allclose(ours.keypoints, theirs.keypoints, rtol=1e-5)
    np.testing.assert_allclose(ours.keypoint_scores, theirs.keypoint_scores, rtol=1e-5)


@pytest.mark.parametrize('only', [1.0, 0.5, 2.0])
def test_a_pose_comes_out_where_it_is_whatever_scale_saw_it(head, only):
    pose = person((70, 60), 60)
    maps = [maps_of([pose], scale, float(scale == only)) for scale in (1.0, 0.5, 2.0)]
    found = decode(head, maps)
    np.testing.assert_allclose(found.keypoints, pose, atol=1e-3)


def test_one_pose_of_all_scales_is_left_and_scores_their_mean(head):
    head.rescore_net = None
    pose = person((70, 60), 60)
    maps = [maps_of([pose], scale, strength) for scale, strength in ((1, 0.9), (0.5, 0.6), (2, 0))]
    found = decode(head, maps)
    np.testing.assert_allclose(found.keypoints, pose, atol=1e-3)
    alone = [head.decoder.decode(heatmaps[0], fields[0])[1] for heatmaps, fields in maps[:2]]
    keypoint_scores = (alone[0][1] + alone[1][1]) / 3
    # of two equal poses either may stay: the centre at scale 1, or 0.9 of it
    ratio = found.keypoint_scores / (alone[0][0][:, None] * keypoint_scores).numpy()
    assert ratio == pytest.approx(ratio[0, 0], rel=1e-3)
    assert ratio[0, 0] == pytest.approx(1, rel=1e-3) or ratio[0, 0] == pytest.approx(0.9, rel=1e-3)


def test_nobody_at_all(head):
    maps = [maps_of([person((70, 60), 60)], scale, 0.0) for scale in SIZES]
    found = decode(head, maps)
    assert found.keypoints.shape == (0, K, 2)
    assert found.keypoint_scores.shape == (0, K)


def test_images_of_several_sizes_reach_the_model():
    init_default_scope('mmpose')
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    results = {'img': image, 'img_shape': (60, 90), 'ori_shape': (60, 90)}
    resize = {'type': 'BottomupResize', 'input_size': (64, 64), 'resize_mode': 'expand'}
    normalise = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}
    packed = {}
    for name, scales in (('plain', None), ('pyramid', [0.5, 2.0])):
        step = TRANSFORMS.build({**resize, 'aug_scales': scales})
        kind = 'PackPoseInputs' if scales is None else 'rlepose_ext.PackImagePyramid'
        pack = TRANSFORMS.build({'type': kind, 'meta_keys': ('input_size', 'aug_scales')})
        packed[name] = pack(step(dict(results)))
    preprocessor = PyramidDataPreprocessor(**normalise, bgr_to_rgb=True)

    def batch(sample):
        return preprocessor(pseudo_collate([sample, sample]))

    plain, pyramid = batch(packed['plain']), batch(packed['pyramid'])
    assert [tuple(each.shape) for each in pyramid['inputs']] == [
        (2, 3, 64, 96), (2, 3, 32, 64), (2, 3, 128, 192),
    ]  # fmt: skip
    assert torch.equal(pyramid['inputs'][0], plain['inputs'])
    sample, _ = pyramid['data_samples']
    assert sample.metainfo['aug_scales'] == [0.5, 2.0]
    assert sample.metainfo['batch_input_shape'] == (64, 96)
    assert tuple(sample.metainfo['input_size']) == (96, 64)
