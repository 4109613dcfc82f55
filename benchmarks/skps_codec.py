"""The codec of SKPS against the usual way: encoding faces, decoding a batch of 64.

    python benchmarks/skps_codec.py [--repeats N] [--output FILE]

On one thread, as a worker of a data loader has it.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from _record import interleaved, ratios, record, result_path, summary

import rlepose_ext  # noqa: F401  (makes MMPose importable)

INPUT, MAP, SIGMA = (256, 256), (64, 64), 2
FACES = 64
SEED = 0


def encode_on_full_grids(keypoints: Any, visible: Any) -> dict[str, Any]:
    """As upstream does it: every pixel of every map from its own formula.

    Heatmaps come from MMPose's own function, which takes joint after joint. The offset
    maps are one broadcast in float64 with the joints last, transposed at the end.

    Args:
        keypoints: input px, shape (1, K, 2).
        visible: shape (1, K).

    Returns:
        The targets under the names of the codec.
    """
    import numpy as np
    from mmpose.codecs.utils import generate_unbiased_gaussian_heatmaps

    points = keypoints / (np.array(INPUT) / MAP).astype(np.float32)
    heatmaps, weights = generate_unbiased_gaussian_heatmaps(MAP, points, visible, SIGMA)
    row, column = np.indices(MAP[::-1])
    offsets = [points[0, :, axis] - grid[..., None] for axis, grid in enumerate((column, row))]
    displacements = np.concatenate(offsets, axis=-1).transpose(2, 0, 1)
    return {'heatmaps': heatmaps, 'displacements': displacements, 'keypoint_weights': weights}


def decode_by_sample(heatmaps: Any, displacements: Any) -> tuple[Any, Any]:
    """As MMPose's heads decode without a batched codec: sample after sample.

    Within a sample all joints at once; upstream takes them one by one, which is slower.

    Args:
        heatmaps: tensor (N, K, H, W).
        displacements: tensor (N, 2K, H, W).

    Returns:
        Keypoints (N, 1, K, 2) in input px and scores (N, 1, K).
    """
    import numpy as np
    from mmpose.codecs.utils import get_heatmap_maximum

    keypoints, scores = [], []
    for maps, offsets in zip(heatmaps.numpy(), displacements.numpy(), strict=True):
        peaks, heights = get_heatmap_maximum(maps)
        count = len(peaks)
        joint, (x, y) = np.arange(count), peaks.T.astype(int)
        peaks += np.stack([offsets[joint, y, x], offsets[joint + count, y, x]], axis=-1)
        keypoints.append(peaks[None] * (np.array(INPUT) / MAP))
        scores.append(heights[None])
    return np.stack(keypoints), np.stack(scores)


def largest_difference(ours: Iterable[Any], theirs: Iterable[Any]) -> float:
    """Of two sequences of arrays, at any element."""
    import numpy as np

    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def row(
    candidates: dict[str, Callable[[], Any]], count: int, repeats: int, **facts: Any
) -> dict[str, Any]:
    """Time both; milliseconds are those of one of ``count`` faces."""
    seconds = interleaved(candidates, repeats)
    return {
        **facts,
        'faces': count,
        'repeats': repeats,
        'peer_ms': summary([1e3 * value / count for value in seconds['peer']]),
        'ours_ms': summary([1e3 * value / count for value in seconds['ours']]),
        'times_faster': summary(ratios(seconds, 'peer', 'ours')),
    }


def measure(joints: int, repeats: int) -> list[dict[str, Any]]:
    """Two rows: encoding faces one after the other, decoding all of them at once.

    Args:
        joints: landmarks per face.
        repeats: rounds.
    """
    import numpy as np
    import torch

    from rlepose_ext.codecs import SKPSHeatmap

    codec = SKPSHeatmap(INPUT, MAP, SIGMA)
    rng = np.random.default_rng(SEED)
    faces = rng.uniform(0, INPUT[0] - 1, (FACES, 1, joints, 2)).astype(np.float32)
    visible = np.ones((1, joints), np.float32)

    def encode_all(encode: Callable[[Any, Any], Any]) -> None:
        # One result at a time, as a worker of a data loader has it.
        for face in faces:
            encode(face, visible)

    targets = [codec.encode(face, visible) for face in faces]
    heatmaps, displacements = (
        torch.from_numpy(np.stack([target[name] for target in targets]))
        for name in ('heatmaps', 'displacements')
    )
    same_targets = largest_difference(
        targets[0].values(), encode_on_full_grids(faces[0], visible).values()
    )
    same_points = largest_difference(
        codec.batch_decode(heatmaps, displacements), decode_by_sample(heatmaps, displacements)
    )
    encoding = {
        'peer': lambda: encode_all(encode_on_full_grids),
        'ours': lambda: encode_all(codec.encode),
    }
    decoding = {
        'peer': lambda: decode_by_sample(heatmaps, displacements),
        'ours': lambda: codec.batch_decode(heatmaps, displacements),
    }
    return [
        row(encoding, FACES, repeats, what='encode', joints=joints, max_difference=same_targets),
        row(decoding, FACES, repeats, what='decode', joints=joints, max_difference=same_points),
    ]


def main() -> None:
    """Measure every row, print it, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=21)
    parser.add_argument('--output', type=Path, help='default results/skps_codec.MACHINE.json')
    args = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    rows = []
    for joints in (98, 29):
        rows += measure(joints, args.repeats)
    for measured in rows:
        print(
            '{what} {faces} faces of {joints} landmarks: peer {peer_ms[median]} ms a face, ours '
            '{ours_ms[median]} ms, {times_faster[median]} times faster, results differ by '
            '{max_difference:.1e} at most'.format(**measured)
        )
    record(
        args.output or result_path('skps_codec'),
        rows,
        code=('rlepose_ext/codecs',),
        repeats=args.repeats,
        spread='quartiles of times_faster',
        seed=SEED,
        claim='SKPSHeatmap encodes 98 landmarks at least ten times faster than on full grids',
        peer='encode: generate_unbiased_gaussian_heatmaps of MMPose, joint by joint, and offset '
        'maps in float64 on the full grid; decode: sample by sample, get_heatmap_maximum of MMPose',
        input_size=INPUT,
        heatmap_size=MAP,
    )


if __name__ == '__main__':
    main()
