"""Tables of docs/zoo.md: every config, and the files that have names."""

from __future__ import annotations

from urllib.parse import urlsplit

from doc_tables import common
from doc_tables.common import NONE, how, number, results, table
from rlepose_ext.zoo import Entry, read_zoo
from rlepose_ext.zoo.cards import result_text
from rlepose_ext.zoo.files import EXTRA
from rlepose_ext.zoo.measured import COSTS, FOLDER, Result

# in percent or as they are, as in the cards
_HEAD = ('config', 'trained on', 'result', 'source', 'parameters:', 'GFLOPs:', 'CPU, ms:')


def zoo() -> str:
    """All configs, family by family, and how their costs were measured."""
    entries = read_zoo(results=common.RESULTS)
    parts = [f'{len(entries)} configs.']
    for family in dict.fromkeys(entry.family for entry in entries):
        members = [entry for entry in entries if entry.family == family]
        readme = members[0].readme
        title = f'[{family}](../{readme})' if readme else family
        parts += [f'### {title}', table((*_HEAD, 'weights'), map(_row, members))]
    costs = results(COSTS)
    parts += map(how, costs)
    if not costs:
        parts.append('*Costs are not measured yet; `python benchmarks/zoo_cost.py` does it.*')
    return '\n\n'.join(parts)


def weights_files() -> str:
    """Files that belong to no config."""
    return table(
        ('name', 'what', 'from', 'sha256', 'licence'),
        (
            (
                f'`{each.name}`',
                each.what,
                f'[{urlsplit(each.url).hostname}]({each.url})' if each.url else 'local mirror only',
                f'`{each.sha256[:8]}`' + (' ...' if len(each.sha256) == 64 else ''),
                each.license,
            )
            for each in EXTRA
        ),
    )


def _row(entry: Entry) -> tuple[str, ...]:
    cost = entry.cost
    return (
        f'[{entry.name}](../{entry.config})',
        ' + '.join(entry.training_data),
        '; '.join(result_text(each) for each in entry.results) or NONE,
        '; '.join(dict.fromkeys(map(_source, entry.results))) or NONE,
        number(entry.params),
        number(cost.flops / 1e9, 2) if cost else NONE,
        f'{cost.cpu_latency_ms:.0f}' if cost else NONE,
        f'[{entry.weights_license or "licence not known"}]({entry.weights})'
        if entry.weights
        else NONE,
    )


def _source(result: Result) -> str:
    if not result.measured:
        return result.source
    file = result.source.rpartition('/')[2]
    return f'[measured here](../{FOLDER}/{file})'
