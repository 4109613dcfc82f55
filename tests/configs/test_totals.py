"""Parameters of every config, exactly.

Plain numbers are those of the papers, the model zoo and the notebooks;
sums follow the layers. What is built is counted here for one config of each family, for all in
``test_matrix.py``.
"""

from fnmatch import fnmatch

import matrix
import pytest
from _miniature import total_parameters

MBV2 = {'050': 687_680, '075': 1_355_424, '100': 2_223_872}  # their last map has 1280 channels
SHUFFLE, RES50, LITE = 1_253_604, 23_508_032, 7_685_632
W32 = 28_535_552  # HRNet without a head
MAPS = 17 * 33  # 17 heatmaps from the 32 channels of the last map
RLE = 4 * 17 * 1281
DECONV = 7_345_937  # three deconvolutions of 1280 channels, 17 heatmaps
FACES = 1360 * 96 + 9 * 96 * 96 + 2 * 3 * 96  # 1x1 to 96 channels and 3x3, biases, batch norm


def simcc(channels, area, *bins):
    return 17 * (channels + 1) + sum((area + 1) * number for number in bins)


# Google's models with batch norm not folded: one number more for each channel of a convolution.
LIGHTNING = 2_317_974 + 17_136
# The first pattern that fits is meant.
TOTALS = {
    'poseur_res50*': RES50 + 985_088 + 8_655_720,  # neck, head
    'reg_res50-smoothl1*': RES50 + 2 * 17 * 2049,
    'rle_res50-gray1*': 23_647_364 - 2 * 64 * 49,  # one channel in, not three
    'rle_res50*': 23_647_364,
    'rle_scnet50*': 23_654_916,
    'rle_alexnet*': 2_487_172,
    'rle_movenet-lightning*lsp*': LIGHTNING - 18_806 + 4 * 14 * (1281 + 24 * 8 * 8),
    'rle_movenet-lightning*coco*': MBV2['100'] + RLE,
    'simcc_movenet-lightning*': MBV2['100'] + simcc(1280, 36, 384, 384),
    'movenet_lightning*lsp*': LIGHTNING - 5 * 3 * 97,
    'movenet_lightning*': LIGHTNING,
    'movenet_thunder*': 6_226_046 + 28_968,
    'movenet_multipose*': 4_723_346 + 25_128,
    'tokenpose_t_*': 5_816_448,
    'tokenpose_s-v1*': 6_620_736,
    'tokenpose_s-v2*': 6_227_520,
    'tokenpose_b*': 13_465_216,
    'tokenpose_l-d6*': 20_815_776,
    'tokenpose_l-d24*': 27_482_400,
    'tokenpose_tiny*': 719_552,
    'posefix_res50*crowdpose*': 34_053_009 - 3 * (64 * 49 + 257),  # 14 joints
    'posefix_res50*': 34_053_009,
    'posefix_res152*': 68_688_785,
    'rle_*lsp*': MBV2['050'] + 4 * 14 * 1281,
    'rle_*faces68*': MBV2['050'] + 4 * 68 * 1281,
    'rle_mobilenetv2-050*': 774_788,
    'rle_mobilenetv2-075*': 1_442_532,
    'rle_mobilenetv2-100*': MBV2['100'] + RLE,
    # 8 bit: a scale and a zero point for each of 66 activations
    'rle-*lsp*': MBV2['050'] + 4 * 14 * 1281 + 2 * 66,
    'rle-*_mobilenetv2-050*': 774_788 + 2 * 66,
    'rle-*_mobilenetv2-075*': 1_442_532 + 2 * 66,
    'simcc-lsq*': 1_405_617 + 2 * 66,
    'simcc-qat*': 1_405_617 + 2 * 66,
    'rle_shufflenetv2*': 1_323_304,
    'rle_resnet18-slim*': 702_096 + 68 * (128 * 30 + 1),
    'simcc_resnet18-slim*': 714_705,
    'simcc-rle*': 1_449_171,
    'simcc_mobilenetv2-075*192x192': 1_405_617,
    'simcc_mobilenetv2-075*256x192': 1_421_105,
    'simcc_mobilenetv2-100*': 2_289_553,
    'simcc_shufflenetv2*192x192': SHUFFLE + simcc(1024, 36, 384, 384),
    'simcc_shufflenetv2*256x192': SHUFFLE + simcc(1024, 48, 384, 512),
    'simcc_res50-deconv*': 36_753_105,
    'simdr*w48*': 66_349_153,
    'simdr*256x192': 31_289_521,
    'simdr*-64x64': W32 + simcc(32, 16 * 16, 192, 192),
    'simdr*-128x128': W32 + simcc(32, 32 * 32, 256, 256),
    'simdr*-128x96': W32 + simcc(32, 24 * 32, 192, 256),
    '*_mobilenetv2-050_*192x192': MBV2['050'] + DECONV,
    '*_mobilenetv2-075_*aic-coco-*': MBV2['075'] + DECONV,
    'msra_mobilenetv2-075*': MBV2['075'] + DECONV,
    '*_mobilenetv2-100_*256x192': MBV2['100'] + DECONV,
    'msra_shufflenetv2*': SHUFFLE + DECONV - 256 * 256 * 16,  # 1024 channels come in
    'ipr_mobilenetv2-075*': MBV2['075'] + DECONV + 128,
    # 128 are positions of columns and rows
    'integral_res50*': 33_999_697 + 128,
    'd*_res50*': 33_999_825,
    '*res18*lip*': 23_770_704,
    'td-hm_*cofw*': 9_659_547,
    'td-hm_*wflw*': 9_715_644,
    'td-hm_*skps*faces68*': MBV2['050'] + FACES + 97 * 3 * 68,
    'td-hm_*faces68*': MBV2['050'] + FACES + 97 * 68,
    'heatmap_vitpose-small*': 21_663_360 + (384 + 256) * 256 * 16 + 2 * 2 * 256 + 17 * 257,
    'heatmap_vitpose-base-simple*': 85_794_048 + 17 * (9 * 768 + 1),
    'heatmap_vitpose-base*': 89_993_745,
    'heatmap_hrformer-base*': 43_211_777,
    'heatmap_hrformer-small*': 7_746_779,
    'heatmap_litehrnet-18*': 1_130_769,
    'heatmap_litehrnet-30*': 1_763_717,
    'rtmpose*': 13_587_611,
    'yoloxpose*': 10_729_963,
    'yolopose*': 6_353_856 + 5_986_560 + 23_112 + 2_751_332,
    'adaptivepose*w32*': 29_623_214,
    'adaptivepose*crowdpose*': 64_756_302 - 6 * 65,  # three joints less, in the part of the face
    'adaptivepose*w48*': 64_756_302,
    # with the network that scores again: 85,249; fewer joints on CrowdPose
    'dekr*crowdpose*': 29_603_480,
    'dekr*w32*': 29_646_431,
    'dekr*w48*': 65_769_839,
    'aid_simcc-hrnetlite*': 10_439_601,
    'aid_hrnet*': W32 + 3 * MAPS,  # three maps a joint
    'heatmap_hrnet-w32-udp-regress*': 28_537_235,
    'heatmap_hrnet-w48*': 63_595_745,
    'heatmap_hrnet-w32*_crowdpose*': W32 + 14 * 33,
    'heatmap_hrnet-w32*mpii*': W32 + 16 * 33,
    '[hs]*_hrnet-w32*coco*': 28_536_113,
    'heatmap_hrnetlite-gau*': 7_686_193 + 2_756_097,
    'heatmap_hrnetlite*': 7_686_193,
    'simcc_hrnetlite-gray1*': 10_439_601 - 2 * 64 * 9,
    'simcc_hrnetlite-lsk*': 10_443_831,
    'simcc_hrnetlite-sk*': 10_461_361,
    'simcc_hrnetlite-rtmcc*': LITE + 1_443_123,
    'simcc_hrnetlite*': 10_439_601,
    'gau_hrnetlite-softmax*': 67_456_177,
    'gau_hrnetlite-ca*': 67_456_230,
    'gau_hrnetlite-narrow*': 14_503_090,
    'gau_hrnetlite-supergau*': 71_339_697,
    'gcn_hrnetlite-before*': 163_057_275,
    'gcn_hrnetlite-after*': 83_868_613,
    'gcn_hrnetlite-classifiers*': 20_220_742,
    'gcn_hrnetlite-cross-stem*': 25_603_809,
    'gcn_hrnetlite-cross-stage3*': 22_655_777,
    'gcn_hrnetlite-cross-head*': 25_602_704,
    'gcn_hrnetlite-parallel*': 9_393_788,
    'gcn_hrnetlite-gaugcn5*': 14_551_877,
    'gcn_hrnetlite-gaugcn6*': 16_986_913,
    # the notebook's less what never runs: two linear classifiers of 3072, three projections and
    # a coordinate attention
    'gcn_hrnet-w32-classifiers*': 44_619_901 - 3073 * 896 - 6_146 - 393_344 - 396_288 - 53,
}
LEAVES = matrix.leaves()


FIRST = {path.parent: name for name, path in reversed(LEAVES.items())}.values()
# They read values while they are built, so that they need memory and time.
LARGE = ('rtmpose', 'yoloxpose', 'heatmap_hrformer')


def test_totals_are_those_of_the_metafiles():
    first_that_fits = {name: next(p for p in TOTALS if fnmatch(name, p)) for name in LEAVES}
    for name, pattern in first_that_fits.items():
        assert matrix.listed_parameters(LEAVES[name]) == TOTALS[pattern], name
    assert set(TOTALS) == set(first_that_fits.values())


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=pytest.mark.slow) if n.startswith(LARGE) else n for n in FIRST]
)
def test_totals_are_counted(name):
    assert total_parameters(LEAVES[name]) == matrix.listed_parameters(LEAVES[name])
