"""Whole pictures as a network sees them, and what two looks at one make together."""

import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import BottomupResize
from PIL import Image

from rlepose_ext.errors import UserError
from rlepose_ext.geometry.spaces import input_to_image
from rlepose_ext.inference.boxes import find_boxes
from rlepose_ext.inference.in_pictures import InPictures, fitted_view, view_of
from rlepose_ext.inference.types import PoseResult


@pytest.mark.parametrize('size', [(150, 90), (61, 140), (96, 96)])
def test_fitted_view_is_mmpose_s(noise, size):
    image = noise(*size[::-1])
    step = BottomupResize(input_size=(128, 96), pad_val=(114, 114, 114))
    expected = step.transform({'img': image, 'ori_shape': image.shape[:2]})
    view = fitted_view(image, (128, 96), (114, 114, 114))
    difference = np.abs(view.pixels.astype(int) - expected['img'])
    assert difference.max() <= 1
    np.testing.assert_allclose(view.center, expected['input_center'])
    np.testing.assert_allclose(view.scale, expected['input_scale'], rtol=1e-6)


def test_view_by_the_longer_side():
    """A white field comes back to its place, from the part of the view that is not padding."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 80:120] = 255
    view = view_of(image, longer_side=96, multiple=32, fill=(7, 7, 7))
    assert view.pixels.shape == (64, 96, 3)
    assert (view.pixels[48:] == 7).all()
    rows, columns = np.nonzero(view.pixels[:48, :, 0] > 127)
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], float)
    found = input_to_image(corners, view.center, view.scale, view.size)
    np.testing.assert_allclose(found, [[80, 40], [120, 60]], atol=2.1)


class TwoLooks(InPictures):
    """Says the same of every picture: one person who fills it and a small one, at each look."""

    meta = {'num_keypoints': 1}
    bbox_thr, nms_thr, batch_size = 0.1, 0.5, 8

    def views(self, frame):
        return [view_of(frame, side, 32) for side in (96, 64)]

    def people(self, pixels):
        count, height, width = pixels.shape[:3]
        first = width == 96
        small = [0.8, 0.1, 0.9, 0.3] if first else [0.1, 0.7, 0.2, 0.9]
        boxes = np.array([[0.1, 0.1, 0.9, 0.9], small]) * [width, height, width, height]
        scores = np.array([0.4 if first else 0.6, 0.9])
        keypoints = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        each = (keypoints, np.ones((2, 1)), boxes, scores)
        return tuple(np.repeat(values[None], count, 0) for values in each)


def test_two_looks_at_one_person_are_one_person():
    """The better of the two who fill the picture, and the small one of the first look only."""
    (found,) = TwoLooks().predict([np.zeros((96, 96, 3), np.uint8)])
    np.testing.assert_allclose(found.box_scores, [0.9, 0.6])
    np.testing.assert_allclose(found.boxes[0], np.array([0.8, 0.1, 0.9, 0.3]) * 96, atol=1e-3)
    np.testing.assert_allclose(found.keypoints[1, 0], [48, 48], atol=1e-3)


@pytest.mark.parametrize('call', [TwoLooks(), TwoLooks().predict])
def test_any_kind_of_image_and_lists_of_them(call, noise, tmp_path):
    picture = noise(96, 64)
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), picture)
    grey = noise(64, 96)[..., 0]
    kinds = [path, str(path), picture, Image.fromarray(picture[..., ::-1]), picture / 255.0, grey]
    results = call(kinds)
    for kind, result in zip(kinds, results, strict=True):
        alone = call(kind)
        assert isinstance(alone, PoseResult)
        np.testing.assert_array_equal(alone.boxes, result.boxes)
        np.testing.assert_array_equal(alone.image, result.image)
    for result in results[:-1]:
        np.testing.assert_array_equal(result.image, picture)
    np.testing.assert_array_equal(results[-1].image, np.repeat(grey[..., None], 3, 2))
    # frames of a video are not copied
    assert results[2].image is picture
    assert call([]) == []
    for wrong, message in (
        (tmp_path / 'absent.png', 'cannot be read'),
        (None, 'NoneType'),
        ([picture, 255.0 * picture], 'Divide by 255'),
        (np.stack([picture, picture]), r'\(2, 64, 96, 3\)'),
    ):
        with pytest.raises(UserError, match=message):
            call(wrong)


def test_colours_of_an_array(noise):
    picture = noise(96, 64)
    found = TwoLooks()(picture[..., ::-1], channel_order='rgb')
    np.testing.assert_array_equal(found.image, picture)


def test_in_the_place_of_a_detector(noise):
    """As any detector is, it is asked for the boxes of frames with names."""
    pictures = [noise(96, 64), noise(64, 96)]
    results = TwoLooks()(pictures)
    found = find_boxes(TwoLooks(), pictures, ['a.png', 'b.png'])
    for (boxes, scores), result in zip(found, results, strict=True):
        np.testing.assert_array_equal(boxes, result.boxes)
        np.testing.assert_array_equal(scores, result.box_scores)
