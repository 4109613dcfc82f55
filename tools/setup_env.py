#!/usr/bin/env python3
"""Build the project's virtual environment: ``make setup``.

Standard library only, and readable by old Pythons, so that a wrong interpreter
ends in one clear line instead of a syntax error. Runs again in a second when
nothing has changed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS = os.path.join(ROOT, 'requirements')
CONSTRAINTS = os.path.join(REQUIREMENTS, 'constraints.txt')
SUPPORTED = ((3, 10), (3, 11), (3, 12))
# What changes the environment when it changes.
INPUTS = [
    os.path.join(REQUIREMENTS, name)
    for name in ('runtime.txt', 'nodeps.txt', 'dev.txt', 'constraints.txt')
] + [os.path.join(ROOT, 'setup.py'), os.path.abspath(__file__)]


def fail(message):
    sys.stderr.write('setup: ' + message + '\n')
    sys.exit(2)


def find_python():
    """This interpreter if it is supported, else a supported one on PATH, else one clear line."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in reversed(SUPPORTED):
        found = shutil.which('python{}.{}'.format(major, minor))
        # A version manager may leave a shim that does not run.
        if found and subprocess.call([found, '-c', ''], stderr=subprocess.DEVNULL) == 0:
            return found
    fail(
        'Python 3.10, 3.11 or 3.12 is needed, {} is {}.{}. Install one and run '
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


def fingerprint(arguments, python):
    digest = hashlib.sha256(repr((arguments.mmcv, arguments.torch_index, python)).encode())
    for path in INPUTS:
        with open(path, 'rb') as stream:
            digest.update(stream.read())
    return digest.hexdigest()


def run(command):
    # MAX_JOBS and MMCV_WITH_OPS matter to MMCV=full only.
    env = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK='1', MMCV_WITH_OPS='1')
    env.setdefault('MAX_JOBS', str(os.cpu_count() or 1))
    if subprocess.call(command, env=env, cwd=ROOT) != 0:
        fail('this command failed, see its message above:\n  ' + ' '.join(command))


def install(venv, arguments):
    pip = [os.path.join(venv, 'bin', 'python'), '-m', 'pip', 'install', '-q']
    pinned = [*pip, '-c', CONSTRAINTS]
    index = torch_index_url(arguments.torch_index)
    if index:
        print('setup: torch and torchvision from ' + index, flush=True)
        run([*pinned, '--index-url', index, 'torch', 'torchvision'])
    print('setup: the stack (torch, mmengine, mmdet, ...), one to three minutes', flush=True)
    requirements = ['-r', os.path.join(REQUIREMENTS, 'runtime.txt')]
    if arguments.mmcv == 'lite':
        requirements.append('mmcv-lite==2.1.0')
    requirements += ['-r', os.path.join(REQUIREMENTS, 'dev.txt')]
    run(pinned + requirements)
    if arguments.mmcv == 'full':
        print('setup: compiling mmcv, about ten minutes', flush=True)
        run([*pinned, 'wheel', 'ninja', 'psutil'])
        # Both distributions provide `mmcv`.
        run([*pip[:3], 'uninstall', '-q', '-y', 'mmcv-lite'])
        run([*pinned, '--no-build-isolation', '--no-binary', 'mmcv', 'mmcv==2.1.0'])
    use_headless_opencv_if_needed(venv, pinned)
    run([*pip, '--no-deps', '-r', os.path.join(REQUIREMENTS, 'nodeps.txt')])
    run([*pip, '--no-deps', '--no-build-isolation', '-e', ROOT])


def use_headless_opencv_if_needed(venv, pinned):
    """The usual build needs libGL and friends, which servers and containers lack."""
    python = os.path.join(venv, 'bin', 'python')
    if subprocess.call([python, '-c', 'import cv2'], stderr=subprocess.DEVNULL) != 0:
        print('setup: no display libraries here, taking opencv-python-headless', flush=True)
        run([python, '-m', 'pip', 'uninstall', '-q', '-y', 'opencv-python'])
        run([*pinned, '--no-deps', 'opencv-python-headless'])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--venv', default=os.path.join(ROOT, '.venv'))
    parser.add_argument('--mmcv', choices=('lite', 'full'), default='lite')
    parser.add_argument('--torch-index', default='default', help='default, cpu, cu128, ..., or URL')
    arguments = parser.parse_args()

    venv = os.path.abspath(os.path.expanduser(arguments.venv))
    python = find_python()
    stamp = os.path.join(venv, '.rlepose-setup')
    wanted = fingerprint(arguments, python)
    if os.path.exists(stamp):
        with open(stamp) as stream:
            if stream.read() == wanted:
                return
    check_venv_module(python)
    if arguments.mmcv == 'full':
        check_compiler()
    started = time.time()
    if not os.path.exists(os.path.join(venv, 'bin', 'python')):
        print('setup: creating ' + venv, flush=True)
        run([python, '-m', 'venv', venv])
    if os.path.exists(stamp):
        os.remove(stamp)
    install(venv, arguments)
    with open(stamp, 'w') as stream:
        stream.write(wanted)
    print(
        'setup: done in {:.0f} s; activate with: . {}/bin/activate'.format(
            time.time() - started, os.path.relpath(venv)
        )
    )


if __name__ == '__main__':
    main()
