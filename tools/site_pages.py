"""What the site shows beside ``docs/``: a hook of MkDocs, see ``mkdocs.yml`` and ``make site``.

GitHub shows the same Markdown files, so their links follow the folders of the repository. On the
site the README is the first page, the READMEs of ``configs/`` are pages, and every config has a
page with its card and its source. Links are turned to these; other files that are linked are
copied.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from rlepose_ext.zoo import read_zoo
from rlepose_ext.zoo.cards import facts

ROOT = Path(__file__).resolve().parents[1]
PAGES = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
LINK = re.compile(r'\]\(([^)\s#:]+)(#[^)\s]*)?\)')
IMAGE = re.compile(r'<img src="([^"]+)" alt="([^"]*)" width="(\d+)">')
# What configs can name, by the package that exports it.
PARTS = {
    'Codecs': 'codecs',
    'Backbones': 'models.backbones',
    'Necks': 'models.necks',
    'Heads': 'models.heads',
    'Losses': 'models.losses',
    'Flows': 'models.flows',
    'Estimators': 'models.estimators',
    'Transforms': 'datasets.transforms',
    'Metrics': 'evaluation',
    'Hooks': 'engine.hooks',
    'Logs': 'run_logs',
}
ROLE = re.compile(r':(?:mod|class|func|meth|attr|data|math):(?=<code>)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of ``docs/``."""
    readmes = [str(path.relative_to(ROOT)) for path in ROOT.glob('configs/*/README.md')]
    for path in [*PAGES, *readmes]:
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    for entry in read_zoo():
        source = (ROOT / entry.config).read_text()
        head, *rows = [_row(*fact) for fact in facts(entry)]
        page = (
            f'# {entry.name}\n\n'
            + '\n'.join([head, '|---|---|', *rows])
            + f'\n\n```python title="{entry.config}"\n{source}```\n'
        )
        files.append(File.generated(config, site_path(entry.config), content=page))
    files.append(File.generated(config, 'api_parts.md', content=parts()))
    return files


def parts() -> str:
    """The page of the classes that configs name: all that the packages export."""
    text = ["# Parts for configs\n\nConfigs name these classes as `type='rlepose_ext.X'`.\n"]
    for title, package in PARTS.items():
        text.append(f'## {title}\n')
        for name in exported(package):
            text.append(f'::: rlepose_ext.{package}.{name}\n    options:\n      members: false\n')
    return '\n'.join(text)


def exported(package: str) -> list[str]:
    """``__all__`` of a module, read without running it."""
    path = ROOT / 'rlepose_ext' / package.replace('.', '/')
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            return ast.literal_eval(node.value)
    raise ValueError(f'{path} has no __all__')


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links from the repository's folders to those of the site."""
    here = page.file.src_uri
    if here.startswith(('api', 'configs/', 'matrix', 'records')):
        # pages that explain come first
        page.meta['search'] = {'boost': 0.3}
    source = posixpath.dirname(repository_path(here))

    def link(match: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(source, match[1]))
        if not (ROOT / path).is_file():
            return match[0]
        target = site_path(path)
        if files.get_file_from_path(target) is None:
            target = path
            if files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        target = posixpath.relpath(target, posixpath.dirname(here) or '.')
        return f']({target}{match[2] or ""})'

    # as Markdown, so that MkDocs checks them
    markdown = IMAGE.sub(r'![\2](\1){ width="\3" }', markdown)
    return LINK.sub(link, markdown)


def on_page_content(html: str, **_) -> str:
    """Leave out Sphinx's roles, which docstrings may have."""
    return ROLE.sub('', html)


def site_path(path: str) -> str:
    """Where a file of the repository is on the site."""
    if path == 'README.md':
        return 'index.md'
    if path.startswith('configs/') and path.endswith('.py'):
        return path.removesuffix('.py') + '.md'
    return path.removeprefix('docs/')


def repository_path(uri: str) -> str:
    """Where a page of the site is in the repository."""
    if uri == 'index.md':
        return 'README.md'
    return uri if uri in PAGES or uri.startswith('configs/') else f'docs/{uri}'


def _row(name: str, text: str) -> str:
    if name == 'more':
        text = f'[{text}]({posixpath.basename(text)})'
    elif name in ('config', 'train', 'test'):
        text = f'`{text}`'
    return f'| {name} | {text} |'
