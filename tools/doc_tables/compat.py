"""Tables of the compatibility layer and of the training features, read from their code."""

from __future__ import annotations

import ast

from doc_tables.common import ROOT, table

OPS = ROOT / 'rlepose_ext' / 'compat' / 'mmcv_ops'


def patches() -> str:
    """Every patch of the compatibility layer."""
    from rlepose_ext.compat import PATCHES

    rows = [(f'`{patch.name}`', patch.breaks, patch.since, patch.until) for patch in PATCHES]
    return table(('patch', 'without it', 'since', 'can go when'), rows)


def features() -> str:
    """Every training feature, and the class that a config can name."""
    from rlepose_ext.engine.equip import FEATURES

    rows = [
        (f'`{feature.name}`', feature.gives, f'`{feature.hook}`' if feature.hook else '')
        for feature in FEATURES
    ]
    return table(('feature', 'what it gives', 'hook'), rows)


def mmcv_ops() -> str:
    """The compiled ops that have a stand-in, read from the files without importing torch."""
    rows = []
    for path in sorted(OPS.glob('[!_]*.py')):
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
                names = [ast.literal_eval(name) for name in node.value.elts]
                title = ast.get_docstring(tree).splitlines()[0].rstrip('.')
                rows.append((title, ', '.join(f'`{name}`' for name in names)))
    return table(('what', "names in mmcv's compiled module"), rows)
