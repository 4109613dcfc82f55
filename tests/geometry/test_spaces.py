"""The coordinate ladder: inverses, no-ops, hand-made points, and MMPose's formulas."""

import numpy as np
import pytest
import torch
from mmpose.models.utils.tta import flip_coordinates

from rlepose_ext.geometry import spaces

SIZE = (192, 256)
BOX = ((300.0, 180.0), (150.0, 200.0))


def points(kind: str):
    array = np.random.default_rng(0).uniform(-20, 300, (3, 17, 2))
    return array if kind == 'numpy' else torch.from_numpy(array)


@pytest.mark.parametrize('kind', ['numpy', 'torch'])
def test_every_step_has_its_inverse(kind):
    p = points(kind)
    before = np.array(p)
    there_and_back = [
        spaces.input_to_image(spaces.image_to_input(p, *BOX, SIZE), *BOX, SIZE),
        spaces.denormalise(spaces.normalise(p, SIZE), SIZE),
        spaces.flip_points(spaces.flip_points(p, 192), 192),
        spaces.flip_normalised(spaces.flip_normalised(p, 192), 192),
        spaces.flip_normalised(spaces.flip_normalised(p)),
    ]
    for unbiased in (False, True):
        small = spaces.input_to_heatmap(p, SIZE, (48, 64), unbiased)
        there_and_back.append(spaces.heatmap_to_input(small, SIZE, (48, 64), unbiased))
    for result in there_and_back:
        assert type(result) is type(p)
        np.testing.assert_allclose(np.array(result), before, atol=1e-9)
    np.testing.assert_array_equal(np.array(p), before)


def test_points_worked_out_by_hand():
    corner = np.array([[225.0, 80.0], [375.0, 280.0], [300.0, 180.0]])
    np.testing.assert_allclose(
        spaces.image_to_input(corner, *BOX, SIZE), [[0, 0], [192, 256], [96, 128]], atol=1e-9
    )
    last = np.array([[191.0, 255.0]])
    np.testing.assert_allclose(spaces.input_to_heatmap(last, SIZE, (48, 64)), [[47.75, 63.75]])
    np.testing.assert_allclose(spaces.input_to_heatmap(last, SIZE, (48, 64), True), [[47, 63]])
    np.testing.assert_allclose(spaces.normalise(last, SIZE), [[191 / 192, 255 / 256]])
    np.testing.assert_allclose(spaces.flip_points(last, 192), [[0, 255]])


def test_flip_follows_the_pixel():
    picture = np.zeros((4, 10))
    picture[2, 3] = 1
    y, x = np.argwhere(picture[:, ::-1])[0]
    np.testing.assert_array_equal(spaces.flip_points(np.array([3.0, 2.0]), 10), [x, y])


@pytest.mark.parametrize('kind', ['numpy', 'torch'])
def test_flips_of_both_spaces_agree(kind):
    p = points(kind)
    mirrored = spaces.flip_normalised(spaces.normalise(p, SIZE), SIZE[0])
    np.testing.assert_allclose(
        np.array(spaces.denormalise(mirrored, SIZE)), np.array(spaces.flip_points(p, SIZE[0]))
    )


def test_unbiased_resampling_commutes_with_the_flip():
    p = points('numpy')
    a = spaces.flip_points(spaces.input_to_heatmap(p, SIZE, (48, 64), True), 48)
    b = spaces.input_to_heatmap(spaces.flip_points(p, 192), SIZE, (48, 64), True)
    np.testing.assert_allclose(a, b)


@pytest.mark.parametrize('shift', [True, False])
def test_flip_equals_mmpose(shift):
    coords = torch.rand(2, 4, 4)
    indices = [0, 2, 1, 3]
    expected = flip_coordinates(coords.clone(), indices, shift, SIZE)
    ours = spaces.flip_normalised(coords, SIZE[0] if shift else None)
    assert torch.equal(spaces.swap_sides(ours, indices), expected)


class EveryStep(torch.nn.Module):
    def forward(self, p):
        p = spaces.input_to_image(spaces.image_to_input(p, *BOX, SIZE), *BOX, SIZE)
        p = spaces.heatmap_to_input(spaces.input_to_heatmap(p, SIZE, (48, 64)), SIZE, (48, 64))
        return spaces.flip_normalised(spaces.normalise(spaces.denormalise(p, SIZE), SIZE), 192)


def test_no_constant_is_copied_to_the_device():
    """A tensor made in a forward is a constant of the exported program."""
    p = torch.rand(2, 17, 2)
    program = torch.export.export(EveryStep(), (p,))
    assert not program.constants
    torch.testing.assert_close(program.module()(p), EveryStep()(p))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_the_host_does_not_wait_for_the_gpu():
    p = torch.rand(2, 17, 2, device='cuda')
    torch.cuda.set_sync_debug_mode('error')
    try:
        EveryStep()(p)
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_types_are_kept():
    assert spaces.normalise(np.ones((1, 2), np.float32), SIZE).dtype == np.float32
    assert spaces.normalise(torch.ones(1, 2), SIZE).dtype == torch.float32
    assert spaces.normalise(np.array([[96, 64]]), SIZE).tolist() == [[0.5, 0.25]]
    with pytest.raises(TypeError, match='floating point'):
        spaces.normalise(torch.ones(1, 2, dtype=torch.long), SIZE)
