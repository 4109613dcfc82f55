"""``rlepose weights``: public checkpoints by name."""

from __future__ import annotations

import argparse
import json


def add_parser(subparsers) -> None:
    """Register ``rlepose weights [NAME]``."""
    parser = subparsers.add_parser(
        'weights',
        help='list public checkpoints, or download one and print its path',
        description='With NAME: download once into RLEPOSE_CACHE (the list ends with it), '
        'compare the hash, print the path. RLEPOSE_MIRROR is a folder or URL that has the files.',
    )
    parser.add_argument('name', metavar='NAME', nargs='?', help='as listed, or a config')
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list, or fetch a file and print where it is.

    Raises:
        UserError: an unknown name, or a file that cannot be had.
    """
    from rlepose_ext.zoo import files, weights

    if args.name:
        file = files.file_named(args.name)
        path = weights.fetch(file)
        print(json.dumps(_facts(file, path)) if args.json else path)
        return 0
    known = files.known_files()
    cache = weights.cache_folder()
    if args.json:
        print(json.dumps([_facts(file, cache / file.filename) for file in known], indent=2))
        return 0
    for file in known:
        there = 'in the cache' if (cache / file.filename).is_file() else ''
        print(f'{file.name}\n    {file.what}')
        print(f'    {file.url or "no address known: local mirror only"}')
        print(f'    licence: {file.license}' + (f'; {there}' if there else ''))
    print(f'\n{len(known)} files. Cache: {cache}')
    return 0


def _facts(file, path) -> dict:
    return {
        'name': file.name,
        'file': file.filename,
        'url': file.url,
        'sha256': file.sha256,
        'license': file.license,
        'what': file.what,
        'path': str(path) if path.is_file() else None,
    }
