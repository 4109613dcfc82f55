"""The score of the chain on a drawn video, with answers made from the truth."""

import json

import cv2
import numpy as np
import pytest
from _drawn_chain import score_video, write_video


@pytest.fixture
def video(tmp_path):
    """A video of two people, and its truth."""
    path, truth = write_video(tmp_path, 0, 8, 2)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 8
    return truth


def answer(truth_file, change=lambda number, person: None):
    """Write what a perfect chain would; ``change`` may spoil a person, or drop it by ``True``."""
    truth = json.loads(truth_file.read_text())
    frames = [{'frame_id': image['id'] + 1, 'instances': []} for image in truth['images']]
    poses = []
    for ann in truth['annotations']:
        person = {**ann, 'score': 1.0}
        if change(ann['image_id'], person):
            continue
        x, y, width, height = person['bbox']
        frames[ann['image_id']]['instances'].append(
            {
                'bbox': [[x, y, x + width, y + height]],
                'bbox_score': 0.9,
                'track_id': person['track_id'],
            }
        )
        keypoints = np.array(person['keypoints'], float).reshape(17, 3)
        keypoints[:, 2] = 1
        names = ('image_id', 'category_id', 'score')
        poses.append({**{n: person[n] for n in names}, 'keypoints': keypoints.reshape(-1).tolist()})
    folder = truth_file.parent
    (folder / 'results_a.json').write_text(json.dumps({'instance_info': frames}))
    (folder / 'a_coco.json').write_text(json.dumps(poses))
    return score_video(truth_file, folder, 'a')


def test_the_truth_is_perfect(video):
    score = answer(video)
    assert score['frames'] == 8
    for name in ('box_ap', 'box_ap50', 'keypoint_ap', 'keypoint_ap50'):
        assert score[name] == 1
    assert score['people'] == [{'frames': 8, 'found': 1.0, 'id_switches': 0}] * 2
    assert score['switches_per_100'] == score['most_per_100'] == 0


def test_exchanged_identities_leave_the_ap(video):
    def exchange(number, person):
        if number >= 4:
            person['track_id'] = 1 - person['track_id']

    score = answer(video, exchange)
    assert score['box_ap'] == 1
    assert [person['id_switches'] for person in score['people']] == [1, 1]
    assert score['switches_per_100'] == score['most_per_100'] == 12.5

    def rename(number, person):
        if number >= 4 and person['track_id'] == 1:
            person['track_id'] = 7

    score = answer(video, rename)
    assert [person['id_switches'] for person in score['people']] == [0, 1]
    assert (score['switches_per_100'], score['most_per_100']) == (6.25, 12.5)


def test_what_is_missing_and_what_is_shifted(video):
    half = answer(video, lambda number, person: number % 2 == 0)
    assert 0.4 < half['box_ap'] < 0.6
    assert [person['found'] for person in half['people']] == [0.5, 0.5]

    def shift(number, person):
        person['keypoints'] = (np.array(person['keypoints']) + 200).tolist()

    assert answer(video, shift)['keypoint_ap'] == 0
