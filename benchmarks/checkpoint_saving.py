"""Time and memory of saving a checkpoint, beside stock MMEngine.

    python benchmarks/checkpoint_saving.py    # 600 MB, five times each, in turn

Each save is done by a process of its own, which has the checkpoint in memory and calls MMEngine's
``save_checkpoint``, with or without ``import rlepose_ext``. Memory is the peak while it saves, less
what was in use before. Stock returns when the file is in the page cache; ours when it is on the
disk and has been read back. So the time until stock's file is on the disk too is told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _record import ROOT, record, summary

NAMES = ('stock MMEngine', 'with rlepose_ext')
TENSOR = 10_000_000  # bytes


def memory(entry: str) -> float:
    """MB of this process: ``VmRSS``, in use, or ``VmHWM``, the most since it was reset."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(entry):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(entry)


def save_once(ours: bool, megabytes: int, folder: Path) -> dict[str, float]:
    """Save a checkpoint once, in this process.

    Returns:
        ``seconds`` of the call, ``seconds_on_disk`` until the file is on the disk, ``memory_mb``.
    """
    if ours:
        import rlepose_ext  # noqa: F401
    import torch
    from mmengine.runner.checkpoint import save_checkpoint

    torch.manual_seed(0)
    state = {f'{n}': torch.randn(TENSOR // 4) for n in range(megabytes * 1_000_000 // TENSOR)}
    path = folder / 'epoch_1.pth'
    save_checkpoint({'w': torch.zeros(1)}, str(path))  # imports what is imported late
    os.sync()
    Path('/proc/self/clear_refs').write_text('5')
    before, start = memory('VmRSS'), time.perf_counter()
    save_checkpoint({'state_dict': state}, str(path))
    seconds = time.perf_counter() - start
    peak = memory('VmHWM')
    with path.open('rb') as stream:
        os.fsync(stream.fileno())
    on_disk = time.perf_counter() - start
    return {'seconds': seconds, 'seconds_on_disk': on_disk, 'memory_mb': peak - before}


def measure(megabytes: int, repeats: int) -> list[dict[str, Any]]:
    """Both candidates in turn, each in new processes."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for turn in range(repeats):
        for name in NAMES if turn % 2 == 0 else NAMES[::-1]:
            with tempfile.TemporaryDirectory(dir=ROOT) as folder:
                options = ['--once', name, '--folder', folder, '--megabytes', str(megabytes)]
                command = [sys.executable, __file__, *options]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(output.splitlines()[-1]))
            print(name, found[name][-1], flush=True)
    return [
        {
            'name': name,
            'megabytes': megabytes,
            **{key: summary([once[key] for once in runs], 3) for key in runs[0]},
        }
        for name, runs in found.items()
    ]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--megabytes', type=int, default=600, help='size of the checkpoint')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', default=str(ROOT / 'benchmarks/results/checkpoint_saving.json'))
    parser.add_argument('--once', choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(save_once(args.once == NAMES[1], args.megabytes, args.folder)))
        return
    record(
        args.out,
        measure(args.megabytes, args.repeats),
        code=['rlepose_ext/checkpoints/files.py', 'rlepose_ext/engine/checkpoint_hook.py'],
        repeats=args.repeats,
        spread='q25 and q75 of each figure',
    )


if __name__ == '__main__':
    main()
