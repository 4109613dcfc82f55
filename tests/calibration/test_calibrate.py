"""``rlepose calibrate`` on drawn people: the command, and every place that uses its result."""

import json
import subprocess
import sys
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint

from rlepose_ext.calibration.repair import LEVELS
from rlepose_ext.checkpoints.files import damage
from rlepose_ext.checkpoints.safe_load import load_file, safe_load
from rlepose_ext.cli.main import main
from rlepose_ext.datasets.synthetic import write_dataset
from rlepose_ext.inference import PoseEstimator, calibrating
from rlepose_ext.inference.calibrating import calibrate
from rlepose_ext.inference.predictions import Predictions
from rlepose_ext.resources import resource

pytestmark = pytest.mark.slow

CONFIG = str(resource('configs/quickstart/rle_resnet18-slim_1xb16-6e_synthetic-96x72.py'))
SIMCC = str(resource('configs/quickstart/simcc_resnet18-slim_1xb16-2e_synthetic-96x72.py'))
BOXES = [[10, 20, 110, 320]]


@pytest.fixture(scope='module', autouse=True)
def _few_repeats():
    """Intervals of 200 repeats take 10 s."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ('table', 'over_all'):
            patch.setattr(calibrating, name, partial(getattr(calibrating, name), repeats=20))
        yield


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Annotations and images of some 180 persons."""
    data = write_dataset(tmp_path_factory.mktemp('drawn') / 'data', 1, 140, seed=5)
    return data.val_json, data.val_images


def checkpoint_of(config, path, **meta):
    """Random weights, sigmas that differ from person to person, a flow that counts as trained."""
    from mmpose.apis import init_model

    torch.manual_seed(0)
    model = init_model(str(config), device='cpu')
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'flow_model' in name:
                parameter.normal_(std=0.15)
            if name == 'head.fc.weight':
                parameter.normal_(std=0.01)
    meta |= {'dataset_meta': dict(model.dataset_meta)}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return path


@pytest.fixture(scope='module')
def done(drawn, tmp_path_factory):
    """What the command writes for a checkpoint whose optimizer comes along."""
    folder = tmp_path_factory.mktemp('calibrated')
    path = checkpoint_of(CONFIG, folder / 'epoch_6.pth', epoch=6)
    assert main(['calibrate', CONFIG, str(path), '--data', *map(str, drawn)]) == 0
    return folder


@pytest.fixture
def picture():
    return cv2.resize(np.random.default_rng(0).integers(0, 255, (9, 6, 3), np.uint8), (200, 340))


def test_writes_a_checkpoint_beside_the_other(done):
    path = done / 'epoch_6_calibrated.pth'
    assert damage(path) is None
    assert [p.name for p in done.glob('*.pth')] != ['epoch_6_calibrated.pth']
    before, after = load_file(done / 'epoch_6.pth'), safe_load(path)
    assert after['meta']['epoch'] == 6
    assert 'rlepose_calibration' not in before['meta']
    for name, value in before['state_dict'].items():
        torch.testing.assert_close(after['state_dict'][name], value, rtol=0, atol=0)
    # with and without the flip test
    assert set(after['meta']['rlepose_calibration']) == {'True', 'False'}
    assert load_checkpoint(torch.nn.Linear(1, 1), str(path), map_location='cpu')['meta']['epoch']


def test_report(done):
    folder = done / 'epoch_6_calibration'
    assert {p.name for p in folder.iterdir()} == {
        'report.json', 'reliability.png', 'sparsification.png'
    }  # fmt: skip
    report = json.loads((folder / 'report.json').read_text())
    rows = report['rows']
    assert set(rows) == {
        'constant', 'constant per joint', 'score', 'learnt density', 'uncalibrated', 'scaled',
        'calibrated', 'exact sigma', '20 splits',
    }  # fmt: skip
    assert set(report['without_flip_test']) == set(rows) - {'20 splits'}
    assert rows['calibrated']['nll'][0] < rows['uncalibrated']['nll'][0]
    # some 90 persons prove: the interval is wide, and holds what is promised
    for level in LEVELS:
        _, low, high = rows['calibrated'][f'coverage_{round(100 * level)}']
        assert low - 0.04 <= level <= high + 0.04
        mean, lowest, highest = rows['20 splits'][f'coverage_{round(100 * level)}']
        assert lowest <= mean <= highest
        assert mean == pytest.approx(level, abs=0.03)
    assert len(report['joints']) == 17
    assert set(report['visibility']) == {'visible', 'occluded'}
    assert len(report['size']) == 3


def test_results_drawing_and_files_use_it(done, picture, tmp_path):
    plain = PoseEstimator(CONFIG, done / 'epoch_6.pth')(picture, BOXES)
    found = PoseEstimator(CONFIG, done / 'epoch_6_calibrated.pth')(picture, BOXES)
    np.testing.assert_array_equal(found.keypoints, plain.keypoints)
    np.testing.assert_array_equal(found.sigma, plain.sigma)
    known = load_file(done / 'epoch_6_calibrated.pth')['meta']['rlepose_calibration']['True']
    np.testing.assert_allclose(found.sigma_px, plain.sigma * np.array(known['spread']))
    assert plain.ellipse_95 is None
    assert found.ellipse_95.shape == (1, 17, 3)
    # the area of an ellipse is pi r^2 root det S
    radius = np.array(known['radius'])[:, 2]
    area = found.ellipse_95[..., 0] * found.ellipse_95[..., 1]
    np.testing.assert_allclose(area, radius**2 * np.sqrt(np.linalg.det(found.covariance_px)))
    assert (found.ellipses(0.5)[..., :2] < found.ellipse_95[..., :2]).all()
    style = {'draw_sigma': True, 'kpt_thr': -9, 'draw_bbox': False}
    assert (plain.plot(**style) != found.plot(**style)).any()

    predictions = Predictions(tmp_path, 'a', found.meta, is_video=False)
    predictions.add(found)
    predictions.close()
    content = json.loads((tmp_path / 'results_a.json').read_text())
    assert content['meta_info']['calibration']['levels'] == list(LEVELS)
    (person,) = content['instance_info']
    np.testing.assert_allclose(person['sigma_px'], found.sigma_px[0], atol=1e-3)
    np.testing.assert_allclose(person['ellipse_95'], found.ellipse_95[0], atol=1e-3)
    assert json.loads(found.to_json())[0]['keypoints'][3]['ellipse_95'] == person['ellipse_95'][3]
    if pytest.importorskip('pandas'):
        assert found.to_df()['ellipse_long'][3] == person['ellipse_95'][3][0]


def test_the_other_flip_test_has_its_own(done, picture):
    path = done / 'epoch_6_calibrated.pth'
    single = PoseEstimator(CONFIG, path, flip_test=False)(picture, BOXES)
    known = load_file(path)['meta']['rlepose_calibration']['False']
    np.testing.assert_allclose(single.sigma_px, single.sigma * np.array(known['spread']))


@pytest.mark.slow
def test_the_onnx_file_and_the_runtime_have_it(done, picture, tmp_path):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    out, path = tmp_path / 'model.onnx', done / 'epoch_6_calibrated.pth'
    assert main(['export', CONFIG, str(path), '--out', str(out)]) == 0
    expected = PoseEstimator(CONFIG, path, flip_test=False)(picture, BOXES)
    np.save(tmp_path / 'picture.npy', picture)
    script = (
        'import sys, numpy as np\n'
        'from rlepose_ext.runtime import OnnxPose\n'
        f'found = OnnxPose({str(out)!r})(np.load({str(tmp_path / "picture.npy")!r}), {BOXES})\n'
        f'np.savez({str(tmp_path / "found.npz")!r}, a=found.sigma_px, b=found.ellipse_95)\n'
        'assert not {"torch", "scipy", "matplotlib"} & set(sys.modules), sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', script], check=True)
    found = np.load(tmp_path / 'found.npz')
    np.testing.assert_allclose(found['a'], expected.sigma_px, rtol=1e-2)
    np.testing.assert_allclose(found['b'][..., :2], expected.ellipse_95[..., :2], rtol=1e-2)


def test_supervision_draws_our_ellipses(done, picture):
    supervision = pytest.importorskip('supervision', reason='supervision is not installed')
    annotators = [
        getattr(supervision, name)
        for name in ('VertexEllipseAreaAnnotator', 'VertexEllipseOutlineAnnotator')
        if hasattr(supervision, name)
    ]
    if not annotators:
        pytest.skip('this version of supervision has no ellipses')
    found = PoseEstimator(CONFIG, done / 'epoch_6_calibrated.pth')(picture, BOXES)
    points = found.to_supervision()
    assert points.data['covariance'].shape == (1, 17, 2, 2)
    color = supervision.Color(255, 0, 0)
    for annotator in annotators:
        drawn = annotator(sigma=2.0, color=color).annotate(np.zeros_like(picture), points)
        assert drawn.any()
    # what it would draw for the first joint, rounded to px
    _, half, angle, *_ = annotators[0](sigma=2.0, color=color)._iter_ellipse_params(points)[0][0]
    expected = 2 * np.sqrt(np.linalg.eigvalsh(found.covariance_px[0, 0])[::-1])
    np.testing.assert_allclose(half, expected, atol=0.51)
    assert abs((angle - found.ellipse_95[0, 0, 2] + 90) % 180 - 90) < 0.5


def test_isotonic_option(done, drawn, tmp_path):
    done = calibrate(CONFIG, done / 'epoch_6.pth', drawn, tmp_path / 'a.pth', tmp_path, True)
    curve = load_file(done.checkpoint)['meta']['rlepose_calibration']['True']['curve']
    assert len(curve[0]) > 5
    assert curve[1] == sorted(curve[1])


@pytest.fixture
def edited(drawn, tmp_path):
    """The annotations, changed by a function."""

    def make(change):
        content = json.loads(drawn[0].read_text())
        change(content)
        (tmp_path / 'edited.json').write_text(json.dumps(content))
        return str(tmp_path / 'edited.json'), str(drawn[1])

    return make


def without_wrists(content):
    for number, person in enumerate(content['annotations']):
        person['keypoints'][3 * 9 : 3 * 10] = [0, 0, 0]
        if number >= 30:
            person['keypoints'][3 * 10 : 3 * 11] = [0, 0, 0]


def test_a_joint_without_labels_is_named_and_left(done, edited, tmp_path, capsys):
    out = tmp_path / 'out.pth'
    command = ['calibrate', CONFIG, str(done / 'epoch_6.pth'), '--data', *edited(without_wrists)]
    assert main([*command, '--out', str(out), '--report', str(tmp_path / 'r')]) == 0
    said = capsys.readouterr().out
    assert 'left uncalibrated: left_wrist: no labels; right_wrist: ' in said
    found = PoseEstimator(CONFIG, out)(np.zeros((90, 90, 3), np.uint8))
    assert np.isnan(found.ellipse_95[0, [9, 10], :2]).all()
    assert np.isfinite(found.sigma_px).all()
    assert found.to_instances()[0]['ellipse_95'][9][0] is None
    assert found.plot(draw_sigma=True).shape == (90, 90, 3)


def few(content):
    del content['annotations'][90:]


def few_images(content):
    # several persons are in each
    for person in content['annotations']:
        person['image_id'] = content['images'][person['image_id'] % 40]['id']
    content['images'] = content['images'][:40]


def text(content):
    for number, person in enumerate(content['annotations']):
        if number % 2:  # occluded as a whole
            person['keypoints'][2::3] = [min(v, 1) for v in person['keypoints'][2::3]]
        person['keypoints'] = [str(value) for value in person['keypoints']]
    # with a name of a joint, and boxes only
    content['categories'].insert(0, {'id': 9, 'name': 'ball', 'keypoints': ['middle']})
    box = {'id': 10**6, 'category_id': 9, 'bbox': [0, 0, 9, 9], 'area': 81, 'iscrowd': 0}
    content['annotations'].append(box | {'image_id': content['images'][0]['id']})


def no_names(content):
    del content['categories'][0]['keypoints']


def other_number(content):
    content['categories'][0]['keypoints'] = content['categories'][0]['keypoints'][:14]
    for person in content['annotations']:
        person['keypoints'] = person['keypoints'][:42]


def other_order(content):
    names = content['categories'][0]['keypoints']
    names[5], names[6] = names[6], names[5]


def nobody(content):
    content['annotations'] = []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (few, 'no joint can be calibrated; the first is nose: 73 labels in'),
        (few_images, 'labels in 10 + 10 + 20 images, expected 100 labels and 19 images in each'),
        (other_number, 'Theirs are named nose'),
        (other_order, 'labels are of other joints than the model'),
        (nobody, 'no joint is labelled'),
    ],
)
def test_labels_that_do_not_do(done, edited, tmp_path, capsys, change, message):
    out = tmp_path / 'out.pth'
    command = ['calibrate', CONFIG, str(done / 'epoch_6.pth'), '--data', *edited(change)]
    assert main([*command, '--out', str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_labels_that_do(done, edited, tmp_path, capsys):
    """Numbers as texts, persons who are hidden as a whole, another category; and no names."""
    out = ['--out', str(tmp_path / 'out.pth'), '--report', str(tmp_path / 'report')]
    command = ['calibrate', CONFIG, str(done / 'epoch_6.pth'), *out, '--data']
    assert main([*command, *edited(text)]) == 0
    report = json.loads((tmp_path / 'report/report.json').read_text())
    counts = {k: v['joints_that_prove'] for k, v in report['visibility'].items()}
    assert counts['occluded'] > 0.4 * sum(counts.values())
    with pytest.warns(UserWarning, match='does not name its joints: they are taken to be nose'):
        assert main([*command, *edited(no_names)]) == 0


def test_places_that_cannot_be_written(done, drawn, tmp_path, capsys):
    command = ['calibrate', CONFIG, str(done / 'epoch_6.pth'), '--data', *map(str, drawn)]
    assert main([*command, '--out', str(tmp_path)]) == 2
    assert 'is a folder, expected the name of a file' in capsys.readouterr().err
    (tmp_path / 'a').touch()
    assert main([*command, '--out', str(tmp_path / 'b.pth'), '--report', str(tmp_path / 'a')]) == 2
    assert 'is a file, expected a folder' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_a_head_without_sigma_and_files_that_are_not_there(done, drawn, tmp_path, capsys):
    config = Config.fromfile(CONFIG)
    config.model.head |= {'type': 'RegressionHead', 'loss': {'type': 'L1Loss'}}
    config.dump(tmp_path / 'config.py')
    path = checkpoint_of(tmp_path / 'config.py', tmp_path / 'l1.pth')
    command = ['calibrate', str(tmp_path / 'config.py'), str(path)]
    assert main([*command, '--data', *map(str, drawn)]) == 2
    assert 'RegressionHead does not estimate sigma' in capsys.readouterr().err
    model = ['calibrate', CONFIG, str(done / 'epoch_6.pth')]
    assert main([*model, '--data', str(tmp_path / 'none.json'), str(drawn[1])]) == 2
    assert 'none.json does not exist' in capsys.readouterr().err
    assert main([*model, '--data', str(drawn[0]), str(tmp_path / 'none')]) == 2
    assert 'is no folder of images' in capsys.readouterr().err


def test_a_simcc_head_gets_sigma_from_its_distribution(drawn, picture, tmp_path):
    """Once it is calibrated, in results and in the ONNX file; before, results are as they were."""
    torch.manual_seed(0)
    path = checkpoint_of(SIMCC, tmp_path / 'simcc.pth')
    content = torch.load(path, weights_only=False)
    for axis in 'xy':  # so that distributions differ from joint to joint
        content['state_dict'][f'head.mlp_head_{axis}.weight'].normal_(std=20)
    torch.save(content, path)
    plain = PoseEstimator(SIMCC, path, flip_test=False)
    assert not plain.has_sigma
    assert plain(picture, BOXES).sigma is None
    assert main(['calibrate', SIMCC, str(path), '--data', *map(str, drawn)]) == 0
    calibrated = tmp_path / 'simcc_calibrated.pth'
    known = load_file(calibrated)['meta']['rlepose_calibration']['False']
    assert np.isfinite(known['spread']).all()
    report = json.loads((tmp_path / 'simcc_calibration/report.json').read_text())
    assert 'learnt density' not in report['rows']
    _, low, high = report['rows']['calibrated']['coverage_90']
    assert low - 0.04 <= 0.9 <= high + 0.04
    expected = PoseEstimator(SIMCC, calibrated, flip_test=False)(picture, BOXES)
    np.testing.assert_allclose(expected.sigma_px, expected.sigma * np.array(known['spread']))
    assert expected.sigma.std() > 0.05 * expected.sigma.mean()
    assert np.isfinite(expected.ellipse_95).all()
    np.testing.assert_array_equal(expected.keypoints, plain(picture, BOXES).keypoints)

    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    from rlepose_ext.runtime import OnnxPose

    assert main(['export', SIMCC, str(calibrated), '--out', str(tmp_path / 'a.onnx')]) == 0
    found = OnnxPose(tmp_path / 'a.onnx')(picture, BOXES)
    np.testing.assert_allclose(found.sigma_px, expected.sigma_px, rtol=1e-2)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_the_data_of_the_config(done, drawn, tmp_path):
    """Without --data they are those that the config validates on."""
    config = Config.fromfile(CONFIG)
    config.val_dataloader.dataset.data_root = str(drawn[0].parents[1])
    config.dump(tmp_path / 'config.py')
    found = calibrate(tmp_path / 'config.py', done / 'epoch_6.pth', None, tmp_path / 'a.pth',
                      tmp_path / 'r')  # fmt: skip
    other = json.loads((done / 'epoch_6_calibration' / 'report.json').read_text())
    assert found.content['rows'] == other['rows']


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'simcc_rle/simcc-rle_mobilenetv2-075_1xb64-210e_coco-192x192.py',
        'poseur/poseur_res50_8xb32-325e_coco-256x192.py',
    ],
)
def test_other_heads_with_sigma(name, drawn, picture, tmp_path):
    config = Config.fromfile(resource(f'configs/{name}'))
    config.model.backbone.pop('init_cfg', None)
    config.model.test_cfg.flip_test = False
    config.dump(tmp_path / 'config.py')
    path = checkpoint_of(tmp_path / 'config.py', tmp_path / 'a.pth')
    done = calibrate(tmp_path / 'config.py', path, drawn)
    assert 'calibrated' in done.content['rows']
    found = PoseEstimator(tmp_path / 'config.py', done.checkpoint)(picture, BOXES)
    assert np.isfinite(found.ellipse_95).all()
