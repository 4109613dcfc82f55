"""``rlepose zoo``: what configs there are, what is known of each, and how to run it."""

from __future__ import annotations

import argparse
import json
import sys

from rlepose_ext.errors import UserError


def add_parser(subparsers) -> None:
    """Register ``rlepose zoo [NAME]``."""
    parser = subparsers.add_parser(
        'zoo',
        help='list the configs, or say all about one of them',
        description='Without NAME: every config, by family. With it: the card of that config.',
    )
    parser.add_argument('name', metavar='NAME', nargs='?', help='a config, by name or path')
    parser.add_argument('--family', metavar='FAMILY', help='only the configs of configs/FAMILY')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--json', action='store_true', help='a list for programs, see docs/zoo.md')
    what.add_argument('--train', action='store_true', help='the command that trains NAME')
    what.add_argument('--test', action='store_true', help='the command that tests NAME')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list, a card, or a command.

    Raises:
        UserError: an unknown name or family, or a command was asked for without a name.
    """
    from rlepose_ext.zoo import cards, lookup, metafiles

    entries = metafiles.read_zoo()
    if args.family:
        entries = lookup.of_family(args.family, entries)
    if args.name:
        entries = [lookup.find(args.name, entries)]
    elif args.train or args.test:
        raise UserError('--train and --test need the NAME of a config; `rlepose zoo` lists them')
    if args.json:
        print(json.dumps([cards.as_json(entry) for entry in entries], indent=2))
    elif args.train:
        print(cards.training_command(entries[0]))
        _note(cards.starting_note(entries[0]))
    elif args.test:
        print(cards.testing_command(entries[0]))
        if not entries[0].weights:
            _note('CHECKPOINT is your file: no weights are published for this config.')
            _note(cards.conversion_note(entries[0]))
    elif args.name:
        print(cards.card(entries[0]))
    else:
        print(listing(entries))
    return 0


def _note(text: str | None) -> None:
    if text:
        print(text, file=sys.stderr)


def listing(entries) -> str:
    """The configs by family, one a line: name, parameters, main figures, weights.

    Args:
        entries: in the order of their families.
    """
    from rlepose_ext.zoo import cards

    width = max(len(entry.name) for entry in entries)
    lines = []
    for family in dict.fromkeys(entry.family for entry in entries):
        members = [entry for entry in entries if entry.family == family]
        lines += [f'{family} ({len(members)})']
        for entry in members:
            figures = '; '.join(
                cards.result_text(result) + ('' if result.measured else ' (quoted)')
                for result in entry.results
            )
            weights = 'weights' if entry.weights else ''
            size = f'{entry.params / 1e6:7.2f} M'
            lines.append(f'  {entry.name:<{width}}  {size}  {weights:<7}  {figures}'.rstrip())
        lines.append('')
    lines.append(f'{len(entries)} configs. One of them: rlepose zoo NAME [--train | --test]')
    return '\n'.join(lines)
