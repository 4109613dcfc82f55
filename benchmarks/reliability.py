"""Kill a training at random moments, fill its disk, tear its checkpoints; compare the results.

    OMP_NUM_THREADS=1 python benchmarks/reliability.py

Each experiment ends with a finished training, whose last checkpoint is compared with that of an
undisturbed one: weights, their average and the state of the optimizer, bit by bit. Single rows
are repeated with ``--only kill``, ``terminate``, ``warn``, ``disk`` or ``torn``; they replace
those of the same name in the results.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _interrupted import BATCHES, MODULES, Life, differences, draw, final
from _nursery import Nursery
from _record import RESULTS, ROOT, command_line, origin, record

RESULT = RESULTS / 'reliability.json'
CODE = (
    'rlepose_ext/checkpoints',
    'rlepose_ext/compat',
    'rlepose_ext/engine',
    'benchmarks/_interrupted.py',
    'benchmarks/_nursery.py',
)
EPOCHS = 8
SEED = 0


class Bench:
    """An undisturbed training, and what else is needed to compare others with it.

    Args:
        nursery: where trainings start.
        folder: for data and work directories.
        draws: random numbers for moments and places.
    """

    def __init__(self, nursery: Nursery, folder: Path, draws: random.Random) -> None:
        self.nursery, self.folder, self.draws = nursery, folder, draws
        draw(str(folder))
        start = time.monotonic()
        self.finish('undisturbed')
        self.seconds = time.monotonic() - start
        self.reference = final(folder / 'undisturbed', EPOCHS)

    def life(self, name: str, **arguments: Any) -> Life:
        """Another process of the training ``name``."""
        return Life(
            self.nursery, self.folder / name, data=str(self.folder), epochs=EPOCHS, **arguments
        )

    def finish(self, name: str, **arguments: Any) -> None:
        """Let a training come to its end.

        Raises:
            RuntimeError: it did not.
        """
        if self.life(name, **arguments).end() != 0:
            output = (self.folder / name / 'output.txt').read_text()
            raise RuntimeError(f'{name} failed:\n{output[-3000:]}')

    def result(
        self, names: list[str], name: str, what: str, times: int, **details: Any
    ) -> dict[str, Any]:
        """A row: what was done to trainings, how often, and how their ends differ."""
        different = {
            tensor
            for training in names
            for tensor in differences(final(self.folder / training, EPOCHS), self.reference)
        }
        row = {
            'name': name,
            'injected': what,
            'times': times,
            'trainings': len(names),
            'tensors': len(self.reference),
            'different': sorted(different),
            **details,
            **origin(CODE),
        }
        print(json.dumps(row), flush=True)
        return row

    def signalled(self, name: str, number: int, what: str, times: int) -> dict[str, Any]:
        """Trainings that get a signal again and again, ``times`` in all, at random moments.

        A life is as long as chance has it, start included, up to half the time of an undisturbed
        training. One that ends before the last signal is followed by another training.
        """
        phases, again, done = Counter(), 0, 0
        names = [f'{name}_1']
        while done < times:
            life = self.life(names[-1])
            time.sleep(self.draws.uniform(0, self.seconds / 2))
            phase, iteration = life.place()
            if phase == 'end':
                life.end()
                names.append(f'{name}_{len(names) + 1}')
                continue
            life.send(number, whole_group=number != signal.SIGKILL)
            status = life.end()
            # 0: it was past its last iteration
            if number != signal.SIGKILL and status not in (128 + number, -number, 0):
                output = (self.folder / names[-1] / 'output.txt').read_text()
                raise RuntimeError(f'{names[-1]}: exit status {status}\n{output[-3000:]}')
            done += 1
            phases[phase] += 1
            if phase != 'start':
                again += max(0, iteration - self._kept(names[-1]))
        self.finish(names[-1])
        return self.result(
            names,
            name,
            what,
            times,
            phases=dict(phases),
            iterations=EPOCHS * BATCHES * len(names),
            iterations_again=again,
        )

    def _kept(self, name: str) -> int:
        """Iterations that the checkpoint to go on from has."""
        from rlepose_ext.checkpoints.files import latest_whole
        from rlepose_ext.checkpoints.safe_load import load_file

        path = latest_whole(self.folder / name, warn=lambda text: None)
        return load_file(path)['meta']['iter'] if path else 0

    def full_disk(self) -> dict[str, Any]:
        """A disk that takes no more in half of the epochs, among them the last one.

        The training then fails at its end, and goes on once there is room.
        """
        earlier = self.draws.sample(range(EPOCHS - 1), EPOCHS // 2 - 1)
        epochs = sorted([*earlier, EPOCHS - 1])
        status = self.life('disk', full_epochs=epochs).end()
        output = (self.folder / 'disk' / 'output.txt').read_text()
        if status == 0 or 'expected its last checkpoint on the disk' not in output:
            raise RuntimeError(f'disk: exit status {status}\n{output[-3000:]}')
        again = EPOCHS * BATCHES - self._kept('disk')
        self.finish('disk')
        return self.result(
            ['disk'],
            'disk',
            'no room for checkpoints and logs in an epoch, the last one among them',
            len(epochs),
            failed_saves=output.count('The checkpoints before it are kept'),
            warnings_of_logs=output.count('cannot write'),
            iterations=EPOCHS * BATCHES,
            iterations_again=again,
        )

    def torn_files(self, times: int) -> dict[str, Any]:
        """The newest checkpoint is cut short, or a bit of it is turned, before each resume."""
        kinds = Counter()
        for number in range(times):
            life = self.life('torn')
            life.wait_for('train', (number + 2) * BATCHES)
            life.send(signal.SIGKILL)
            life.end()
            newest = Path((self.folder / 'torn/last_checkpoint').read_text())
            kinds[self._damage(newest)] += 1
        self.finish('torn')
        output = (self.folder / 'torn' / 'output.txt').read_text()
        return self.result(
            ['torn'],
            'torn',
            'newest checkpoint damaged',
            times,
            kinds=dict(kinds),
            skipped=output.count('is skipped'),
        )

    def _damage(self, path: Path) -> str:
        content = bytearray(path.read_bytes())
        place = self.draws.randrange(len(content))
        if self.draws.random() < 0.5:
            path.write_bytes(content[:place])
            return 'cut short'
        content[place] ^= 1 << self.draws.randrange(8)
        path.write_bytes(content)
        return 'a bit turned'


def rows(bench: Bench, only: str | None, kills: int, others: int) -> Iterator[dict[str, Any]]:
    """All experiments, or one."""
    if only in (None, 'kill'):
        yield bench.signalled('kill', signal.SIGKILL, 'SIGKILL at a random moment', kills)
    if only in (None, 'terminate'):
        what = 'SIGTERM to the process and its workers'
        yield bench.signalled('terminate', signal.SIGTERM, what, others)
    if only in (None, 'warn'):
        what = "SIGUSR1, Slurm's warning, to the process and its workers"
        yield bench.signalled('warn', signal.SIGUSR1, what, others)
    if only in (None, 'disk'):
        yield bench.full_disk()
    if only in (None, 'torn'):
        yield bench.torn_files(others)


def main() -> None:
    """Write ``results/reliability.json``; status 1 if any result differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', choices=('kill', 'terminate', 'warn', 'disk', 'torn'))
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--others', type=int, default=5, help='times of every other injection')
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument('--result', type=Path, default=RESULT)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='reliability-'))
    try:
        with Nursery(MODULES, [ROOT / 'benchmarks']) as nursery:
            bench = Bench(nursery, folder, random.Random(args.seed))
            found = list(rows(bench, args.only, args.kills, args.others))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if args.only and args.result.is_file():
        before = json.loads(args.result.read_text())['rows']
        found = [found[0] if row['name'] == found[0]['name'] else row for row in before]
    record(
        args.result,
        found,
        code=CODE,
        seed=args.seed,
        command=command_line(['--only', '--result']),
        epochs=EPOCHS,
        iterations_per_epoch=BATCHES,
    )
    if any(row['different'] for row in found):
        raise SystemExit(1)


if __name__ == '__main__':
    main()
