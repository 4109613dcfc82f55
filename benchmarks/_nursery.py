"""Start trainings in processes of their own, many times, without importing torch each time.

A nursery is a Python process that has imported everything and forks a child for each
function to run. The child is a real process: it has a pid, a process group and an exit
status, and SIGKILL ends it without a word. Only the twenty imports are saved.

    with Nursery(modules=['mmpose.models'], path=['tests']) as nursery:
        child = nursery.start('module:function', {'folder': folder}, log=log)
        os.kill(child, signal.SIGKILL)
        status = nursery.wait(child)      # -9, as subprocess has it
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any


class Nursery:
    """Context manager around the process that forks.

    Args:
        modules: imported before the first child starts.
        path: folders that go first in ``sys.path``.
    """

    def __init__(self, modules: list[str], path: list[str | Path] = ()) -> None:
        before = [os.environ['PYTHONPATH']] if os.environ.get('PYTHONPATH') else []
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([*map(str, path), *before]))
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def start(
        self,
        function: str,
        arguments: dict[str, Any],
        log: str | Path,
        environment: dict[str, str] | None = None,
    ) -> int:
        """Run ``module:function`` with ``arguments`` in a child, which leads a group of its own.

        Args:
            function: what to run.
            arguments: for it, as JSON can carry them.
            log: file that gets what the child prints, at its end.
            environment: variables to set.

        Returns:
            The child's pid.
        """
        job = {
            'function': function,
            'arguments': arguments,
            'log': str(log),
            'environment': environment or {},
        }
        return self._ask({'start': job})

    def wait(self, child: int) -> int:
        """Exit status of a child; minus the number of the signal that ended it."""
        return self._ask({'wait': child})

    def _ask(self, request: dict[str, Any]) -> int:
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError('the nursery ended; its error is above')
        return json.loads(answer)


def _run(job: dict[str, Any]) -> int:
    """In the child: what :meth:`Nursery.start` promises; returns the exit status."""
    os.setsid()
    os.environ.update(job['environment'])
    log = os.open(job['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module, name = job['function'].split(':')
    try:
        getattr(importlib.import_module(module), name)(**job['arguments'])
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """The nursery itself: modules in ``argv``, requests as lines of JSON."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in requests:
        request = json.loads(line)
        if 'start' in request:
            answer = os.fork()
            if answer == 0:
                requests.close()
                # not os._exit: how a training ends is part of what is tested
                sys.exit(_run(request['start']))
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(request['wait'], 0)[1])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
