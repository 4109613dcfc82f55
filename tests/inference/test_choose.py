"""What names mean, and what is taken without one."""

import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rlepose_ext.errors import UserError
from rlepose_ext.inference import choose
from rlepose_ext.inference.sources import find_sources
from rlepose_ext.zoo import files, upstream, weights


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('RLEPOSE_MIRROR', raising=False)
    monkeypatch.setattr(weights, '_answers', {})
    (tmp_path / 'cache').mkdir()
    return tmp_path / 'cache'


@pytest.fixture
def silent_server():
    """An address that takes connections and never answers; and how many came."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        taken = []

        def take():
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f'http://127.0.0.1:{server.getsockname()[1]}', taken
        for connection in taken:
            connection.close()


@pytest.mark.parametrize(('name', 'config'), [
    ('human', 'rtmpose-m_8xb256-420e_body8-256x192'),
    ('rtmpose-m', 'rtmpose-m_8xb256-420e_body8-256x192'),
    ('rtmpose-l', 'rtmpose-l_8xb256-420e_body8-384x288'),
    ('vitpose-b', 'td-hm_ViTPose-base-simple_8xb64-210e_coco-256x192'),
    ('rtmo', 'rtmo-l_16xb16-600e_body7-640x640'),
    ('td-hm_hrnet-w32_8xb64-210e_coco-256x192', 'td-hm_hrnet-w32_8xb64-210e_coco-256x192'),
    *((alias, name) for alias, name in upstream.ALIASES.items()),
])  # fmt: skip
def test_names_of_mmpose(name, config):
    model = upstream.upstream_model(name)
    assert model.name == config
    assert model.config.is_file()
    # a damaged download can be told
    assert len(model.weights.sha256) >= 8
    assert model.weights.url.endswith('.pth')


def test_a_part_of_a_name_is_no_name():
    assert upstream.upstream_model('rtmpose') is None
    assert upstream.upstream_model('td-hm_hrnet-w32_8xb64-210e_coco-256x19') is None


@pytest.mark.parametrize('name', upstream.DETECTORS)
def test_detectors_of_the_installed_packages(name):
    known = upstream.upstream_detector(name)
    assert known.config.is_file()
    assert len(known.weights.sha256) == 8


def test_presets_name_what_there_is():
    for preset in choose.PRESETS.values():
        assert preset.detector is None or preset.detector in choose.DETECTORS
        assert choose.weights_of(preset.pose) is not None
    for name in (*choose.DEFAULT_DETECTORS, *choose.DEFAULT_POSES):
        assert choose.weights_of(name) is not None


def put(cache, name):
    file = choose.weights_of(name)
    for part in file.parts or (file,):
        (cache / part.filename).touch()


def test_what_is_here_goes_before_what_could_be_downloaded(empty_cache, monkeypatch):
    monkeypatch.setattr(weights, 'fetch', lambda file: pytest.fail(f'{file.name} is fetched'))
    put(empty_cache, 'movenet-thunder')
    notes = []
    assert choose._first_pose(notes) == 'movenet-thunder'
    assert len(notes) == 1
    put(empty_cache, 'rtmpose-m')
    assert choose._first_pose(notes) == 'rtmpose-m'
    assert len(notes) == 1
    # one of two files is not a model
    part = files.file_named('movenet-multipose').parts[0]
    (empty_cache / part.filename).touch()
    assert not weights.at_hand(files.file_named('movenet-multipose'))


def test_a_folder_as_mirror_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv('RLEPOSE_MIRROR', str(tmp_path))
    put(tmp_path, 'rtmdet-nano')
    assert choose.first_detector([]) == 'rtmdet-nano'


@pytest.mark.parametrize(
    ('names', 'said'), [(('left_eye', 'Right_Hip'), ''), (('left_eye', 'nose'), 'left_eye to nose')]
)
def test_a_detector_of_persons_for_joints_of_something_else(names, said):
    assert said in choose.caution_of({'keypoint_id2name': dict(enumerate(names))})
    assert bool(said) == bool(choose.caution_of({'keypoint_id2name': dict(enumerate(names))}))


def test_a_dead_network_is_asked_once(silent_server, monkeypatch):
    url, taken = silent_server
    monkeypatch.setenv('RLEPOSE_MIRROR', url)
    monkeypatch.setattr(weights, 'PATIENCE', 0.3)
    # without a detector the whole picture is a person, and the line says so
    notes = []
    assert choose.first_detector(notes) == 'full'
    assert 'whole picture' in notes[0]
    assert all(each in notes[0] for each in choose.DEFAULT_DETECTORS)
    with pytest.raises(UserError, match='none can be downloaded now'):
        choose._first_pose([])
    assert len(taken) == 1


@pytest.mark.parametrize(('arguments', 'said'), [
    ({'preset': 'quick'}, 'preset: expected one of fast, balanced, best'),
    ({'detector': ['yolo'], 'pose': 'pose'}, 'detector yolo: expected movenet-multipose'),
    ({'pose': ['no-such-model']}, 'no config of the zoo is called'),
    ({'pose': ['rtmpose']}, 'rtmpose'),
])  # fmt: skip
def test_what_is_unknown(arguments, said, pose):
    if arguments.get('pose') == 'pose':
        arguments = {**arguments, 'pose': pose}
    with pytest.raises(UserError, match=said):
        choose.choose(**arguments)


def test_a_video_without_a_gpu_gets_one_model_for_everybody(empty_cache, monkeypatch):
    class Model:
        meta = {'keypoint_id2name': {0: 'left_hip'}}

    def build(values, *args, **more):
        model = Model()
        if values == ['movenet-multipose']:
            model.predict = None
        return model

    monkeypatch.setattr(choose, 'build_pose', build)
    monkeypatch.setattr(choose, 'build_detector', lambda *args: None)
    put(empty_cache, 'movenet-thunder')
    put(empty_cache, 'movenet-multipose')
    pair, alone = 'detector movenet-multipose, pose movenet-thunder', 'pose movenet-multipose'
    assert choose.choose(video=False, device='cpu').models == pair
    assert choose.choose(video=True, device='cpu').models == alone
    assert choose.choose(['movenet-multipose'], video=True, device='cpu').models == pair
    monkeypatch.setattr(choose, '_on_cpu', lambda device: False)
    assert choose.choose(video=True).models == pair


@pytest.mark.parametrize(('text', 'is_film'), [
    ('http://somewhere.org/film.mp4', True),
    ('http://somewhere.org/photo', False),
    ('rtsp://somewhere.org/live', True),
    ('webcam', True),
])  # fmt: skip
def test_what_is_a_video_by_its_name(text, is_film):
    (source,) = find_sources(text)
    assert source.is_film is is_film


def test_a_detector_beside_a_model_that_needs_none(monkeypatch):
    class Everybody:
        predict = None

    monkeypatch.setattr(choose, 'build_pose', lambda *args, **more: Everybody())
    with pytest.raises(UserError, match='leave the detector out'):
        choose.choose(['full'], ['movenet-multipose'])


def test_thresholds_mean_the_same_for_all(tmp_path):
    (tmp_path / 'boxes.json').write_text('{"a.jpg": [[0, 0, 5, 5, 0.25], [0, 0, 9, 9, 0.9]]}')
    for threshold, count in ((None, 1), (0.2, 2)):
        detector = choose.build_detector([str(tmp_path / 'boxes.json')], bbox_thr=threshold)
        ((boxes, _),) = detector([None], ['a.jpg'])
        assert len(boxes) == count


def test_a_server_that_answers_is_asked_beside_one_that_does_not(silent_server, monkeypatch):
    class Page(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404)
            self.end_headers()

        def log_message(self, *args):
            pass

    known = files.file_named('movenet-thunder')
    near, far = (replace(known, package=None, filename=name) for name in ('near.pth', 'far.pth'))
    monkeypatch.setattr(weights, 'PATIENCE', 1.0)
    with HTTPServer(('127.0.0.1', 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        near = replace(near, url=f'http://127.0.0.1:{server.server_port}/near.pth')
        far = replace(far, url=f'{silent_server[0]}/far.pth')
        assert weights.within_reach([far, near]) == [near]
        server.shutdown()
    # and not again
    assert weights.within_reach([far, near]) == [near]
    assert len(silent_server[1]) == 1
