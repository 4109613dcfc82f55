#!/usr/bin/env python3
"""Build the project's virtual environment: ``make setup``.

Standard library only, and readable by old Pythons, so that a wrong interpreter
ends in one clear line instead of a syntax error. Runs again in a second when
nothing has changed.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS = os.path.join(ROOT, 'requirements')
CONSTRAINTS = os.path.join(REQUIREMENTS, 'constraints.txt')
STAMP = '.rlepose-setup'
# In the order in which they are looked for; 3.14 last, for the tests have not run on it yet.
SUPPORTED = ((3, 13), (3, 12), (3, 11), (3, 14))
# What changes the environment when it changes.
INPUTS = [
    os.path.join(REQUIREMENTS, name + '.txt')
    for name in ('runtime', 'mim', 'export', 'nodeps', 'dev', 'peers', 'constraints')
] + [os.path.join(ROOT, 'setup.py'), os.path.abspath(__file__)]


def fail(message):
    sys.stderr.write('setup: ' + message + '\n')
    sys.exit(2)


def find_python():
    """This interpreter if it is supported, else a supported one on PATH, else one clear line."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in SUPPORTED:
        found = shutil.which('python{}.{}'.format(major, minor))
        # A version manager may leave a shim that does not run.
        if found and subprocess.call([found, '-c', ''], stderr=subprocess.DEVNULL) == 0:
            return found
    fail(
        'Python 3.11, 3.12, 3.13 or 3.14 is needed, {} is {}.{}. Install one and run '
        '`make setup PYTHON=python3.11`.'.format(sys.executable, *sys.version_info[:2])
    )


def check_venv_module(python):
    probe = subprocess.call([python, '-c', 'import venv, ensurepip'], stderr=subprocess.DEVNULL)
    if probe != 0:
        fail(
            'the venv module of {} is missing. On Debian or Ubuntu: '
            '`apt install python3-venv`.'.format(python)
        )


def check_compiler():
    if not (shutil.which('c++') or shutil.which('g++') or shutil.which('clang++')):
        fail(
            'MMCV=full compiles mmcv, and no C++ compiler was found. Install one '
            '(Debian: `apt install g++`) or leave MMCV=full out: mmcv-lite suffices.'
        )


def torch_index_url(name):
    """None for pip's own index, a URL for ``cpu``, ``cu128``, ... or a URL given as such."""
    if name == 'default':
        return None
    if '://' in name:
        return name
    return 'https://download.pytorch.org/whl/' + name


def index_for_driver():
    """The index whose CUDA build runs with this machine's GPU driver.

    PyTorch builds for two generations. pip's own index has CUDA 13, for drivers from 580 and cards
    from Turing (compute capability 7.5) on. ``cu126`` has CUDA 12.6, for drivers from 525 and cards
    from Maxwell (5.0) to Hopper (9.0). Without a driver it does not matter.
    """
    smi = shutil.which('nvidia-smi')
    query = [smi, '--query-gpu=driver_version,compute_cap', '--format=csv,noheader']
    try:
        answer = subprocess.check_output(query).decode() if smi else ''
    except subprocess.CalledProcessError:
        # It is installed, and there is no GPU.
        answer = ''
    # Lines such as `580.65.06, 9.0`.
    found = re.findall(r'^(\d+)[.\d]*, (\d+\.\d+)$', answer, re.MULTILINE)
    cards = [(int(driver), float(capability)) for driver, capability in found]
    if all(driver >= 580 and capability >= 7.5 for driver, capability in cards):
        return 'default'
    if all(driver >= 525 and capability < 10 for driver, capability in cards):
        return 'cu126'
    print(
        'setup: no CUDA build of torch runs on all GPUs here (driver, compute capability: {}). '
        'A driver from 580 on may help.'.format('; '.join(answer.splitlines())),
        flush=True,
    )
    return 'default'


def read_stamp(venv):
    """What the last finished setup of this environment was asked for; empty if there is none."""
    path = os.path.join(venv, STAMP)
    if not os.path.exists(path):
        return {}
    with open(path) as stream:
        text = stream.read()
    try:
        return json.loads(text)
    except ValueError:
        # Half written: then that setup did not finish.
        return {}


def request(arguments, before):
    """This setup's options, those of the last one where none is given, and its inputs' hash."""
    digest = hashlib.sha256()
    for path in INPUTS:
        with open(path, 'rb') as stream:
            digest.update(stream.read())
    return {
        'mmcv': arguments.mmcv or before.get('mmcv', 'lite'),
        'torch_index': arguments.torch_index or before.get('torch_index') or index_for_driver(),
        'inputs': digest.hexdigest(),
    }


def make_venv(venv, python, named):
    """Create the environment, or mend one whose creation was interrupted."""
    inside = os.path.join(venv, 'bin', 'python')
    if not os.path.exists(inside):
        print('setup: creating ' + venv, flush=True)
        run([python, '-m', 'venv', venv])
    elif subprocess.call([inside, '-m', 'pip', '--version'], stdout=subprocess.DEVNULL) != 0:
        print('setup: creating {} anew, it is incomplete'.format(venv), flush=True)
        run([python, '-m', 'venv', '--clear', venv])
    elif named and version_of(inside) != version_of(python):
        fail(
            '{} has Python {}, and {} was asked for. Delete that folder or choose another: '
            '`make setup VENV=DIR PYTHON=...`.'.format(venv, version_of(inside), version_of(python))
        )


def version_of(python):
    code = 'import sys; print("{}.{}".format(*sys.version_info[:2]))'
    return subprocess.check_output([python, '-c', code]).decode().strip()


def has_full_mmcv(venv):
    code = 'from importlib.metadata import version; version("mmcv")'
    python = os.path.join(venv, 'bin', 'python')
    return subprocess.call([python, '-c', code], stderr=subprocess.DEVNULL) == 0


def constraints_for(venv, index):
    """The pins; without those of CUDA's packages if torch comes from an index of its own."""
    if not index:
        return CONSTRAINTS
    path = os.path.join(venv, 'constraints.txt')
    with open(CONSTRAINTS) as source, open(path, 'w') as target:
        target.writelines(
            line for line in source if not line.startswith(('nvidia', 'cuda', 'triton'))
        )
    return path


def run(command):
    # MAX_JOBS and MMCV_WITH_OPS matter to MMCV=full only.
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK='1', MMCV_WITH_OPS='1')
    env.setdefault('MAX_JOBS', str(os.cpu_count() or 1))
    if subprocess.call(command, env=env, cwd=ROOT) != 0:
        fail('this command failed, see its message above:\n  ' + ' '.join(command))


def install(venv, wanted):
    index = torch_index_url(wanted['torch_index'])
    pip = [os.path.join(venv, 'bin', 'python'), '-m', 'pip', 'install', '-q']
    pinned = pip + ['-c', constraints_for(venv, index)]
    if index:
        print('setup: torch and torchvision from ' + index, flush=True)
        # Such an index has torch, but not the versions of its requirements that are pinned.
        run(pinned + ['--no-deps', '--index-url', index, 'torch', 'torchvision'])
    print('setup: the stack (torch, mmengine, mmdet, ...), one to three minutes', flush=True)
    requirements = []
    for name in ('runtime.txt', 'mim.txt', 'export.txt', 'dev.txt'):
        requirements += ['-r', os.path.join(REQUIREMENTS, name)]
    run(pinned + requirements)
    install_opencv(venv, pinned)
    for name in ('nodeps.txt', 'peers.txt'):
        run(pip + ['--no-deps', '-r', os.path.join(REQUIREMENTS, name)])
    if wanted['mmcv'] == 'lite' and not has_full_mmcv(venv):
        run(pinned + ['--no-deps', 'mmcv-lite'])
    if wanted['mmcv'] == 'full' and not has_full_mmcv(venv):
        print('setup: compiling mmcv, about ten minutes', flush=True)
        run(pinned + ['wheel', 'ninja', 'psutil'])
        # Both distributions provide `mmcv`.
        run(pip[:3] + ['uninstall', '-q', '-y', 'mmcv-lite'])
        build = ['--no-deps', '--no-build-isolation', '--no-binary', 'mmcv', 'mmcv']
        run(pinned + build)
    run(pip + ['--no-deps', '--no-build-isolation', '-e', ROOT])


def install_opencv(venv, pinned):
    """Keep an OpenCV that loads. The usual build needs libGL, which servers and containers lack."""
    python = os.path.join(venv, 'bin', 'python')
    probe = [python, '-c', 'import cv2']
    if subprocess.call(probe, stderr=subprocess.DEVNULL) == 0:
        return
    run(pinned + ['--no-deps', 'opencv-python'])
    if subprocess.call(probe, stderr=subprocess.DEVNULL) == 0:
        return
    print('setup: no display libraries here, taking opencv-python-headless', flush=True)
    # Both own the folder cv2: one goes with all its files, the other is written anew.
    run([python, '-m', 'pip', 'uninstall', '-q', '-y', 'opencv-python'])
    run(pinned + ['--no-deps', '--force-reinstall', 'opencv-python-headless'])
    if subprocess.call(probe) != 0:
        fail('cv2 does not load, see above; a system library that OpenCV needs is missing')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--venv', default=os.path.join(ROOT, '.venv'))
    parser.add_argument('--mmcv', choices=('lite', 'full'), help='as before, else lite')
    parser.add_argument('--torch-index', help='cpu, cu126, ..., or URL; by the driver')
    parser.add_argument('--python-named', action='store_true', help='insist on this Python')
    arguments = parser.parse_args()

    venv = os.path.abspath(os.path.expanduser(arguments.venv))
    before = read_stamp(venv)
    wanted = request(arguments, before)
    if wanted == before and not arguments.python_named:
        return
    python = find_python()
    check_venv_module(python)
    if wanted['mmcv'] == 'full':
        check_compiler()
    started = time.time()
    make_venv(venv, python, arguments.python_named)
    if wanted == before:
        return
    stamp = os.path.join(venv, STAMP)
    if os.path.exists(stamp):
        os.remove(stamp)
    install(venv, wanted)
    with open(stamp, 'w') as stream:
        json.dump(wanted, stream)
    print(
        'setup: done in {:.0f} s; activate with: . {}/bin/activate'.format(
            time.time() - started, os.path.relpath(venv)
        )
    )


if __name__ == '__main__':
    main()
