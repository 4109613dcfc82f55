"""8-bit files by onnxruntime, integer tables by the command line, and what is refused."""

import json

import cv2
import numpy as np
import pytest
import torch

from rlepose_ext.cli.main import main
from rlepose_ext.export.deconv import with_convolutions
from rlepose_ext.export.int8 import _parts, _quantise
from rlepose_ext.inference.onnx_file import Session
from rlepose_ext.inference.onnx_pose import OnnxPose

pytest.importorskip('onnxscript', reason='needs the extra [export]')
ort = pytest.importorskip('onnxruntime', reason='needs the extra [export]')


@pytest.fixture(scope='session')
def people(tmp_path_factory):
    """Drawn people as COCO annotations beside their pictures."""
    from rlepose_ext.datasets.synthetic import SyntheticPeopleConfig, draw_one

    folder = tmp_path_factory.mktemp('people')
    images, annotations = [], []
    for index in range(20):
        image, persons = draw_one(0, 'train', index, SyntheticPeopleConfig())
        cv2.imwrite(str(folder / f'{index}.png'), image)
        images.append({'id': index, 'file_name': f'{index}.png'})
        for person in persons:
            joints = [float(v) for v in np.ravel(person['keypoints'])]
            box = [float(v) for v in person['bbox']]
            if min(box[2:]) > 8 and any(joints[2::3]):
                annotations.append({'image_id': index, 'bbox': box, 'keypoints': joints})
    path = folder / 'people.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations}))
    return path


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['rle', 'simcc'])
def test_a_model_in_8_bit(trained, people, tmp_path, capsys, kind):
    out = tmp_path / 'model.onnx'
    command = ['export', *trained[kind], '--out', str(out)]
    assert main(command) == 0
    exact, size = OnnxPose(out, 'cpu'), out.stat().st_size
    capsys.readouterr()
    assert main([*command, '--int8', '--calibrate', str(people)]) == 0
    said = capsys.readouterr().out
    assert said.count('tried') == 6
    assert 'taken' in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ['model.json', 'model.onnx']
    assert out.stat().st_size < 0.5 * size
    rounded = OnnxPose(out, 'cpu')
    assert rounded.content['network'] == 'int8'
    assert rounded.content['int8'] == json.loads(out.with_suffix('.json').read_text())['int8']
    image = cv2.imread(str(people.parent / '0.png'))
    apart = np.abs(rounded(image).keypoints - exact(image).keypoints)
    assert 0 < apart.mean() < 10


def refused(tmp_path, capsys, *arguments):
    out = tmp_path / 'model.onnx'
    out.write_text('older')
    assert main(['export', *arguments, '--out', str(out)]) == 2
    assert out.read_text() == 'older'
    assert sorted(p.name for p in tmp_path.glob('*model*')) == ['model.onnx']
    message = capsys.readouterr().err
    assert message.count('rlepose: error: ') == 1
    return message


@pytest.mark.slow
def test_nobody_to_calibrate_with(trained, people, tmp_path, capsys, monkeypatch):
    from rlepose_ext.export import calibration
    from rlepose_ext.inference.detectors import FullImage

    class Nobody(FullImage):
        def __call__(self, frames, names):
            return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in frames]

    monkeypatch.setattr(calibration, 'build_detector', lambda *_: Nobody())
    rle = [*trained['rle'], '--int8']
    empty = tmp_path / 'empty'
    empty.mkdir()
    calibrate = [*rle, '--calibrate']
    assert 'no picture' in refused(tmp_path, capsys, *calibrate, str(empty))
    assert 'no person' in refused(tmp_path, capsys, *calibrate, str(people.parent))
    (tmp_path / 'none.json').write_text('{"images": [], "annotations": []}')
    assert 'no person' in refused(tmp_path, capsys, *calibrate, str(tmp_path / 'none.json'))
    (tmp_path / 'none.json').write_text('{')
    assert 'COCO' in refused(tmp_path, capsys, *calibrate, str(tmp_path / 'none.json'))
    content = json.loads(people.read_text())
    few = {**content, 'annotations': content['annotations'][:7]}
    (people.parent / 'few.json').write_text(json.dumps(few))
    assert 'too few' in refused(tmp_path, capsys, *calibrate, str(people.parent / 'few.json'))
    elsewhere = tmp_path / 'a' / 'b' / 'people.json'
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text(people.read_text())
    assert 'not beside' in refused(tmp_path, capsys, *calibrate, str(elsewhere))
    (tmp_path / 'a.mp4').touch()
    assert 'folder of pictures' in refused(tmp_path, capsys, *calibrate, str(tmp_path / 'a.mp4'))


def test_files_that_are_not_replaced(trained, people, tmp_path, capsys):
    """The annotations to calibrate with, another program's file, and that of the other export."""
    labels = tmp_path / 'people.json'
    labels.write_text(people.read_text())
    (tmp_path / 'list.json').write_text('[1]')
    (tmp_path / 'folder.onnx').mkdir()
    (tmp_path / 'tables.json').write_text('{"integer_format": 1}')
    (tmp_path / 'file.json').write_text('{"rlepose_format": 1}')
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    rle = ['export', *trained['rle']]
    int8 = ['--int8', '--calibrate', str(labels)]
    for words, name in ((int8, 'people'), ([], 'list'), ([], 'tables'), (['--integer'], 'file')):
        out = tmp_path / f'{name}.{"npz" if words == ["--integer"] else "onnx"}'
        assert main([*rle, *words, '--out', str(out)]) == 2
        assert f'{name}.json is there' in capsys.readouterr().err
    assert main([*rle, '--out', str(tmp_path / 'folder.onnx')]) == 2
    assert 'is a folder' in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    for source in ('', str(tmp_path / 'gone')):
        assert main([*rle, '--int8', '--calibrate', source, '--out', str(tmp_path / 'a.onnx')]) == 2
        assert 'no such folder or file' in capsys.readouterr().err


def test_options_that_do_not_go_together(trained, people, tmp_path, capsys):
    rle = trained['rle']
    assert 'add --calibrate' in refused(tmp_path, capsys, *rle, '--int8')
    assert '--int8' in refused(tmp_path, capsys, *rle, '--calibrate', str(people))
    both = ['--int8', '--calibrate', str(people), '--half']
    assert '--half' in refused(tmp_path, capsys, *rle, *both)
    assert main(['export', *rle, '--integer', '--out', str(tmp_path / 'a.npz')]) == 2
    assert 'quantised training' in capsys.readouterr().err


@pytest.mark.slow
def test_integer_tables(root, people, tmp_path, capsys):
    from rlepose_ext.export.integer import IntegerPose
    from rlepose_ext.inference import PoseEstimator

    config = root / 'configs/quant/rle-qat_mobilenetv2-050_1xb64-10e_lsp-192x192.py'
    checkpoint = quantised(config, people, tmp_path)
    out = tmp_path / 'model.npz'
    command = ['export', str(config), str(checkpoint), '--integer', '--out', str(out)]
    assert main([*command, '--calibrate', str(people)]) == 0
    assert 'sigma' in capsys.readouterr().out
    pose = IntegerPose(out)
    image = cv2.imread(str(people.parent / '0.png'))
    exact = PoseEstimator(config, checkpoint, 'cpu', flip_test=False)(image)
    assert np.abs(pose(image).keypoints - exact.keypoints).mean() < 0.05 * image.shape[0]


def quantised(config, people, folder):
    """A checkpoint of the config, with random weights and ranges."""
    from mmpose.apis import init_model

    from rlepose_ext.quant.calibrate import calibrate
    from rlepose_ext.quant.to_integer import snap

    model = init_model(str(config), device='cpu')
    torch.manual_seed(0)
    calibrate(model, [torch.rand(8, 3, 192, 192) * 4 - 2])
    snap(model)
    meta = {'dataset_meta': dict(model.dataset_meta)}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, folder / 'model.pth')
    return folder / 'model.pth'


@pytest.mark.slow
def test_a_relu6_has_the_range_of_its_limits(tmp_path):
    """However small the crops' values are; onnxruntime drops the Clip, and its name stays."""
    import onnx

    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 20]>
        g (uint8[n, 8, 8, 3] crops) => (float[n, 2, 8, 8] y)
        <float[4, 3, 1, 1] w = {1,0,0, 0,1,0, 0,0,1, 1,0,0},
         float[2, 4, 1, 1] v = {1,0,0,0, 0,1,0,0}> {
            low = Constant<value = float {0}>()
            high = Constant<value = float {6}>()
            x = Cast<to: int = 1>(crops)
            t = Transpose<perm: ints = [0, 3, 1, 2]>(x)
            a = Conv(t, w)
            b = Clip(a, low, high)
            y = Conv(b, v) }""")
    for number, node in enumerate(model.graph.node):
        node.name = f'{node.op_type}_{number}'
    source, target = tmp_path / 'float.onnx', tmp_path / 'int8.onnx'
    onnx.save(model, source)
    crops = np.random.default_rng(0).integers(0, 3, (8, 8, 8, 3), np.uint8)
    names = {node.name for node in model.graph.node if node.op_type in ('Conv', 'Clip')}
    _quantise(source, target, crops, 'minmax', names, tmp_path / 'ranges')
    rounded = onnx.load(target)
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in rounded.graph.initializer}
    producers = {name: node for node in rounded.graph.node for name in node.output}
    last = [node for node in rounded.graph.node if node.op_type == 'Conv'][-1]
    given = producers[last.input[0]]
    assert given.op_type == 'DequantizeLinear'
    np.testing.assert_allclose(scales[given.input[1]], 6 / 255, rtol=1e-6)


@pytest.mark.slow
def test_sums_of_products_do_not_overflow(tmp_path):
    """Of the largest integers; those of processors without VNNI would, in 16 bit."""
    import onnx

    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 20]>
        g (uint8[n, 8, 8, 3] crops) => (float[n, 64, 8, 8] y) {
            x = Cast<to: int = 1>(crops)
            t = Transpose<perm: ints = [0, 3, 1, 2]>(x)
            a = Conv(t, w)
            y = Conv(a, v) }""")
    for name, channels in (('w', 3), ('v', 64)):
        weight = np.ones((64, channels, 1, 1), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    for number, node in enumerate(model.graph.node):
        node.name = f'{node.op_type}_{number}'
    source, target = tmp_path / 'float.onnx', tmp_path / 'int8.onnx'
    onnx.save(model, source)
    crops = np.full((8, 8, 8, 3), 255, np.uint8)
    names = {node.name for node in model.graph.node if node.op_type == 'Conv'}
    _quantise(source, target, crops, 'minmax', names, tmp_path / 'ranges')
    (found,) = Session(target, 'cpu').run(crops=crops)
    np.testing.assert_allclose(found, 255 * 3 * 64, rtol=1e-2)


@pytest.mark.slow
def test_upsampling_and_gates_are_of_8_bit(tmp_path):
    """A head of heatmaps behind SiLU: all of its products, and the answer stays what it was."""
    import onnx

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.model = torch.nn.ModuleDict({'backbone': torch.nn.Sequential()})
            self.model.backbone.extend([torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.SiLU()])
            deconv = torch.nn.ConvTranspose2d(16, 16, 4, 2, 1), torch.nn.ReLU()
            self.model['head'] = torch.nn.ModuleDict(
                {'deconv_layers': torch.nn.Sequential(*deconv), 'last': torch.nn.Conv2d(16, 2, 1)}
            )

        def forward(self, crops):
            x = self.model.backbone(crops.permute(0, 3, 1, 2).float() / 64 - 2)
            return self.model.head.last(self.model.head.deconv_layers(x))

    net = Net().eval()
    crops = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(crops)).numpy()
    with_convolutions(net)
    source, target = tmp_path / 'float.onnx', tmp_path / 'int8.onnx'
    batch = ({0: torch.export.Dim('batch', min=1)},)
    program = torch.onnx.export(
        net,
        (torch.from_numpy(crops),),
        input_names=['crops'],
        dynamic_shapes=batch,
        dynamo=True,
        verbose=False,
    )
    program.save(source)
    parts = _parts(source)
    assert list(parts) == ['head', 'gates', 'network']
    assert [len(parts[name]) for name in ('head', 'gates')] == [1, 2]
    _quantise(source, target, crops, 'minmax', set().union(*parts.values()), tmp_path / 'ranges')
    options = ort.SessionOptions()
    options.add_session_config_entry('session.x64quantprecision', '1')
    options.optimized_model_filepath = str(tmp_path / 'fused.onnx')
    session = ort.InferenceSession(str(target), options)
    (found,) = session.run(None, {'crops': crops})
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    kinds = [node.op_type for node in onnx.load(tmp_path / 'fused.onnx').graph.node]
    assert kinds.count('QLinearConv') == 3
    assert {'QLinearSigmoid', 'QLinearMul'} <= set(kinds)
    assert set(kinds).isdisjoint({'Conv', 'ConvTranspose', 'Sigmoid', 'Mul'})
