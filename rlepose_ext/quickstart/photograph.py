"""A photograph at the end of the demo, drawn by what ``rlepose demo`` takes without options."""

from __future__ import annotations

from pathlib import Path

from rlepose_ext.quickstart.summary import shorten

# Of matplotlib's wheel: Grace Hopper, US Navy, public domain.
PHOTOGRAPH = 'grace_hopper.jpg'


def draw_photograph(out: Path) -> Path:
    """Draw the photograph, after downloading models where none are on this machine.

    Args:
        out: the quickstart's folder; writes ``photograph.jpg`` there.

    Raises:
        UserError: no model can be had.
    """
    from matplotlib import cbook

    from rlepose_ext.inference.pose import Pose

    print('\n[photograph] what `rlepose demo` takes without options', flush=True)
    pose = Pose()
    print(f'  {pose.chosen}', flush=True)
    with cbook.get_sample_data(PHOTOGRAPH) as stream:
        (result,) = pose(stream.name)
    target = result.save(out.resolve() / 'photograph.jpg')
    print(f'  {len(result)} person found: {shorten(target)}', flush=True)
    return target
