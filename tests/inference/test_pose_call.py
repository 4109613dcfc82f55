"""``Pose`` with a predictor that knows the answer: what its arguments do."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from clips import numbered, write_clip
from PIL import Image
from test_engine import Walker
from web import serving

from rlepose_ext.errors import UserError
from rlepose_ext.inference.pose import Pose
from rlepose_ext.inference.predictors import TopDown


@pytest.fixture
def pose():
    made = Pose.__new__(Pose)
    walker = Walker()
    made.predictor, made.chosen = TopDown(walker, walker), 'a walker'
    return made


def test_pictures_of_all_kinds(pose, tmp_path):
    picture = numbered(5)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    with serving({'/b.png': ('image/png', (tmp_path / 'a.png').read_bytes(), None)}) as site:
        results = pose([
            tmp_path / 'a.png',
            picture,
            (picture / 255).astype(np.float32),
            Image.fromarray(np.ascontiguousarray(picture[..., ::-1])),
            f'{site}/b.png',
        ])  # fmt: skip
    assert len(results) == 5
    for result in results:
        np.testing.assert_array_equal(result.image, picture)
        assert result.boxes.tolist() == [[25, 10, 45, 30]]
    with pytest.raises(UserError, match='Divide by 255'):
        pose(picture.astype(np.float32))


def test_files_of_pictures_of_one_name(pose, tmp_path):
    for folder in ('x', 'x/y'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f'{tmp_path}/{folder}/1.png', numbered(5))
    pose(tmp_path / 'x', nested=True, output_root=tmp_path / 'out', save=('image', 'csv'))
    found = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert found == ['1.csv', '1.png', '1_2.csv', '1_2.png']
    assert len(pose(tmp_path / 'x')) == 1
    pose([tmp_path / 'x/1.png', tmp_path / 'x/y/1.png'], output_root=tmp_path / 'b', save='txt')
    assert len(list((tmp_path / 'b/labels').iterdir())) == 2


def test_a_part_of_a_video(pose, tmp_path):
    clip = write_clip(tmp_path / 'a.mp4', 30)
    results = list(pose(clip, stream=True, vid_stride=5, start=1.0, end=2.2))
    assert [result.frame for result in results] == [10, 15, 20]
    assert not list(tmp_path.glob('*.csv'))


def test_of_several_files_one_that_cannot_be_used_is_a_warning(pose, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), numbered(5))
    (tmp_path / 'empty').mkdir()
    for other in ('gone.png', 'empty', ''):
        sources = [tmp_path / 'a.png', other and tmp_path / other, numbered(6)]
        with pytest.warns(UserWarning, match='does not exist|neither images nor videos|empty text'):
            results = pose(sources)
        assert [result.boxes[0, 0] for result in results] == [25, 30]
        with pytest.raises(UserError):
            pose([sources[1]])
    assert pose([]) == []


# --- boxes ------------------------------------------------------------------------------

BOXES = [[10.0, 10.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]]


def test_boxes_in_place_of_a_detector(pose, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), numbered(5))
    cv2.imwrite(str(tmp_path / 'b.png'), numbered(6))
    (result,) = pose(
        tmp_path / 'a.png', boxes=BOXES, output_root=tmp_path / 'out', save_predictions=True
    )
    np.testing.assert_array_equal(result.keypoints[:, 0, 0], [20, 11])
    assert result.path == str(tmp_path / 'a.png')
    assert set(result.speed) >= {'detect'}
    written = {path.name for path in (tmp_path / 'out').iterdir()}
    assert written == {'a.png', 'results_a.json', 'a_coco.json'}
    for source in (
        [numbered(5), numbered(6)],
        np.stack([numbered(5), numbered(6)]),
        tmp_path,
        str(tmp_path / '*.png'),
    ):
        assert [len(result) for result in pose(source, boxes=[BOXES, []])] == [2, 0]
    assert [len(result) for result in pose([numbered(5)], boxes=[BOXES])] == [2]
    assert pose.predictor.estimator.seen == []
    # who has boxes of each frame may track them
    results = [
        pose(numbered(5), boxes=BOXES[order], track='iou', persist=True)[0]
        for order in (slice(None), slice(None, None, -1))
    ]
    assert [result.track_id.tolist() for result in results] == [[0, 1], [1, 0]]


def test_boxes_that_do_not_fit(pose, tmp_path):
    picture, clip = numbered(5), write_clip(tmp_path / 'a.mp4', 3)
    for source, boxes, more, message in (
        (picture, BOXES, {'foo': 1}, 'no argument foo'),
        (picture, BOXES, {'track': 'zzz'}, "got 'zzz'"),
        (picture, [1, 2], {}, 'boxes of image0.jpg: expected shape'),
        ([picture, picture], [BOXES], {}, 'for each of 2 pictures, got 1'),
        ([picture, picture], 3, {}, 'for each of 2 pictures, got 0'),
        ([picture, picture], [BOXES, [[5, 5, 1, 1]]], {}, 'boxes of image1.jpg: .* x1 < x2'),
        (clip, BOXES, {}, 'got the video .*a.mp4: give a JSON file'),
        (tmp_path / 'gone.png', BOXES, {}, 'does not exist'),
    ):
        with pytest.raises(UserError, match=message):
            pose(source, boxes=boxes, **more)


# --- frames that follow each other ------------------------------------------------------


class Two(Walker):
    """Walks, and somebody stands; the one of the higher score comes first, in turn."""

    has_sigma = False

    @staticmethod
    def _boxes(number):
        boxes = np.array([[5 * number, 10, 5 * number + 20, 30], [0, 40, 20, 60]], np.float32)
        return boxes[:: 1 if number % 2 else -1]


@pytest.fixture
def two(pose):
    walker = Two()
    pose.predictor = TopDown(walker, walker)
    return pose


@pytest.mark.parametrize('method', ['iou', 'oks', 'bytetrack'])
def test_identities_last_from_call_to_call(two, method, tmp_path):
    frames = [numbered(number) for number in range(5)]
    expected = [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]
    for source in (frames, np.stack(frames)):
        results = two(source, track=method, smooth=True)
        assert [result.track_id.tolist() for result in results] == expected
    one_by_one = [
        two(frame, track=method, smooth=True, persist=number > 0, output_root=tmp_path)[0]
        for number, frame in enumerate(frames)
    ]
    assert [result.track_id.tolist() for result in one_by_one] == expected
    assert [result.path for result in one_by_one] == [f'image{n}.jpg' for n in range(5)]
    assert len(list(tmp_path.iterdir())) == 5
    for result, other in zip(results, one_by_one, strict=True):
        np.testing.assert_array_equal(result.keypoints, other.keypoints)
    # in parts, and anew: with other settings, or where it is asked for
    results = two(frames[:2], track=method, persist=True) + two(
        frames[2:], track=method, persist=True
    )
    assert [result.track_id.tolist() for result in results] == expected
    assert two(frames[1], track=method, persist=False)[0].track_id.tolist() == [0, 1]


def test_joints_of_frames_are_smoothed(two):
    frames = [numbered(number) for number in range(4)]
    rough = [result.keypoints for result in two(frames, track='iou')]
    calm = [result.keypoints for result in two(frames, track='iou', smooth=True)]
    np.testing.assert_array_equal(rough[0], calm[0])
    assert np.abs(rough[1] - calm[1]).max() > 0.1


@pytest.mark.parametrize(('given', 'seen'), [({}, 0.7), ({'nms_thr': 0.5}, 0.5)])
def test_bytetrack_sees_boxes_that_overlap_unless_told(monkeypatch, given, seen):
    class Overlapping(Two):
        bbox_thr, nms_thr = 0.3, 0.5

        def __call__(self, *arguments, **more):
            assert self.nms_thr == seen
            return super().__call__(*arguments, **more)

    walker = Overlapping()
    choice = SimpleNamespace(predictor=TopDown(walker, walker), why='', caution='')
    monkeypatch.setattr('rlepose_ext.inference.pose.choose', lambda *args, **more: choice)
    assert len(Pose(**given)([numbered(0), numbered(1)], track='bytetrack')) == 2
    assert walker.nms_thr == 0.5


def test_what_has_no_identities(pose, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), numbered(5))
    clip, picture = write_clip(tmp_path / 'b.mp4', 3), numbered(5)
    for source, more, message in (
        (picture, {'track': 'foo'}, "track: expected one of bytetrack, iou, oks, got 'foo'"),
        (picture, {'track': 'iou'}, 'got one picture: .* persist=True'),
        (picture, {'smooth': True}, 'needs identities'),
        (picture, {'persist': True}, 'persist: .* got no track'),
        (tmp_path / 'a.png', {'track': 'iou'}, 'got files of pictures'),
        (clip, {'track': 'iou', 'persist': True}, 'persist: .* got files'),
    ):
        with pytest.raises(UserError, match=message):
            pose(source, **more)
    assert pose([], track='iou', persist=True) == []
    picture, *video = pose(tmp_path, track='iou')
    assert picture.track_id is None
    assert [result.track_id.tolist() for result in video] == [[0], [0], [0]]


# --- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(('given', 'message'), [
    ({'conf': 0.5}, r'no argument conf: Pose\(\.\.\., bbox_thr=0\.5\) for persons, .*kpt_thr=0\.5'),
    ({'iou': 0.5}, r'no argument iou: Pose\(\.\.\., nms_thr'),
    ({'bbox_thr': 0.5}, r'pose\(\.\.\.\) has no argument bbox_thr: give it to Pose\(\.\.\.\)'),
    ({'colour': 1}, 'no argument colour: it takes source, .*kpt_thr'),
    ({'save': True}, 'save: expected some of image, .* output_root, got True'),
    ({'start': '0:0:0:1'}, 'start: expected seconds .*h:m:s'),
    ({'end': 'late'}, 'end: expected seconds'),
    ({'start': -1}, 'start: expected seconds from 0'),
    ({'output_root': ''}, 'output_root: expected a folder, got an empty text'),
])  # fmt: skip
def test_arguments_that_are_not_taken(pose, given, message):
    with pytest.raises(UserError, match=message):
        pose(numbered(5), **given)


def test_times_as_the_command_takes_them(pose, tmp_path):
    clip = write_clip(tmp_path / 'a.mp4', 30)
    results = pose(clip, start='0:01', end='0:0:1.5')
    assert [result.frame for result in results] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize(('given', 'message'), [
    ({'model': 'fast', 'checkpoint': 'a.pth'}, r"'config.py', 'a.pth'\), got the preset fast"),
    ({'checkpoint': 'a.pth'}, 'got no model'),
    ({'conf': 0.5}, 'bbox_thr'),
    ({'track': 'iou'}, r'Pose\(\.\.\.\) has no argument track: give it to pose\(\.\.\.\)'),
    ({'bbox_thr': 2}, 'bbox_thr: expected 0 to 1, got 2'),
    ({'bbox_thr': float('nan')}, 'got nan'),
    ({'nms_thr': 'half'}, 'nms_thr: could not convert'),
])  # fmt: skip
def test_models_that_are_not_built(given, message):
    with pytest.raises(UserError, match=message):
        Pose(**given)
