"""What every config of the zoo costs: parameters, operations, CPU time of one picture.

    python benchmarks/zoo_cost.py                          # all that are not measured yet
    python benchmarks/zoo_cost.py --only rle_ simcc_       # names that contain one of these
    python benchmarks/zoo_cost.py --fresh                  # all of them anew

One picture of the config's input size through backbone, neck and head, one thread, float32,
without flip test, detector and decoding; random weights, which do not change the cost. Each
config takes turns with the peer, so that their ratio holds under other load as well; times are
medians. Operations are counted by ``rlepose_ext.zoo.counting.count_flops``: two for each
multiply-add, which papers on pose estimation count once.

The file is written after each config, so a run that was stopped goes on. Rows are comparable
only on one machine: a file of another machine, torch or number of threads is refused without
``--fresh``. About half an hour, 6 GB.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _machine import machine
from _record import (
    RESULTS,
    WHICH_ROWS,
    command_line,
    interleaved,
    origin,
    ratios,
    record,
    summary,
    versions,
)

import rlepose_ext  # noqa: F401  (makes MMPose importable)

# isort: split
import torch

from rlepose_ext.zoo import Entry, counting, find, read_zoo

RESULT = RESULTS / 'zoo_cost.json'
CODE = ('rlepose_ext/models', 'rlepose_ext/zoo/counting.py', 'configs')
QUANTISED = 'quant'  # folder of configs
PEER = 'rle_res50_8xb64-210e_coco-256x192'
# Seconds of measuring for one config; slow ones get fewer rounds, at least MIN_REPEATS.
BUDGET = 40.0
MIN_REPEATS = 5


def measure(entry: Entry, peer: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """One row.

    Args:
        entry: the config.
        peer: forward pass of the peer.
        repeats: rounds, if they fit into the budget.
    """
    config = counting.load_config(str(entry.path))
    model = counting.build_model(config)
    shape = counting.input_shape(config)
    forward = counting.forward_of(model, shape)
    with torch.no_grad():
        start = time.perf_counter()
        forward()
        peer()
        rounds = int(BUDGET / (time.perf_counter() - start))
        rounds = min(repeats, max(MIN_REPEATS, rounds))
        flops = counting.count_flops(forward)
        seconds = interleaved({'this': forward, 'peer': peer}, repeats=rounds, warmup=1)
    return {
        'name': entry.name,
        'config': entry.config,
        'params': counting.count(model).total,
        'flops': flops,
        'input': list(shape),
        'milliseconds': summary([1000 * value for value in seconds['this']]),
        # how many times as long as the peer, round by round
        'times_peer': summary(ratios(seconds, peer='this', ours='peer')),
        'repeats': rounds,
        **origin(CODE),
    }


def earlier(path: Path) -> list[dict[str, Any]]:
    """Rows of an earlier run that may stand beside new ones.

    Exits if they are of another machine.
    """
    if not path.is_file():
        return []
    content = json.loads(path.read_text())
    here, there = machine(), content['machine']
    differ = [
        f'{key} {there[key]!r}, here {here[key]!r}'
        for key in ('cpu', 'cpu_family', 'cpu_model', 'cores', 'threads')
        # None: not recorded
        if there.get(key) not in (None, here[key])
    ]
    if content['versions'].get('torch') != versions().get('torch'):
        differ.append(f'torch {content["versions"].get("torch")}, here {versions().get("torch")}')
    if differ:
        sys.exit(
            f'{path} was measured elsewhere: {"; ".join(differ)}. '
            '--fresh without --only begins anew.'
        )
    return content['rows']


def write(path: Path, rows: Sequence[dict[str, Any]], zoo: Sequence[Entry], **extra: Any) -> None:
    """Write the rows of configs that exist, in the order of the zoo, whole or not at all."""
    order = {entry.config: number for number, entry in enumerate(zoo)}
    kept = sorted((row for row in rows if row['config'] in order), key=lambda r: order[r['config']])
    part = path.with_name(f'.{path.name}.writing')
    record(
        part,
        kept,
        code=CODE,
        repeats=max((row['repeats'] for row in kept), default=None),
        spread='quartiles of milliseconds and times_peer',
        command=command_line(WHICH_ROWS),
        **extra,
    )
    os.replace(part, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing; 1 if a config failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--only', nargs='+', default=[], metavar='TEXT', help='part of a name')
    parser.add_argument('--fresh', action='store_true', help='measure again what is there')
    parser.add_argument('--peer', default=PEER, help=argparse.SUPPRESS)
    parser.add_argument('--output', type=Path, default=RESULT)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    zoo = read_zoo()
    # 8-bit networks need ranges first; int8.py measures them
    chosen = [e for e in zoo if e.path.parent.name != QUANTISED]
    chosen = [e for e in chosen if not args.only or any(text in e.name for text in args.only)]
    if not chosen:
        sys.exit(f'--only {" ".join(args.only)}: no config of the zoo has that in its name')
    rows = earlier(args.output) if not args.fresh or args.only else []
    if args.fresh:
        names = {entry.name for entry in chosen}
        rows = [row for row in rows if row['name'] not in names]
    # a config that has changed since has other parameters, as a rule
    done = {(row['config'], row['params']) for row in rows}
    todo = [entry for entry in chosen if (entry.config, entry.params) not in done]
    peer = find(args.peer, zoo)
    config = counting.load_config(str(peer.path))
    peer_forward = counting.forward_of(counting.build_model(config), counting.input_shape(config))
    failed = []
    for number, entry in enumerate(todo, 1):
        try:
            row = measure(entry, peer_forward, args.repeats)
        except Exception as error:  # the others are worth measuring
            failed.append(entry.name)
            print(f'[{number}/{len(todo)}] {entry.name}: {error}', file=sys.stderr, flush=True)
            continue
        rows = [other for other in rows if other['config'] != entry.config] + [row]
        write(args.output, rows, zoo, peer=peer.name, batch=1, dtype='float32')
        milliseconds, gflops = row['milliseconds']['median'], row['flops'] / 1e9
        print(f'[{number}/{len(todo)}] {entry.name}: {gflops:.2f} GFLOPs, {milliseconds} ms')
        sys.stdout.flush()
        gc.collect()
    if failed:
        print(f'{len(failed)} failed: {", ".join(failed)}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
