"""The documents are true: links, commands, paths and generated tables."""

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from cogapp import Cog

import doc_tables.common
from doc_tables.configs import FAMILIES, models
from rlepose_ext.cli.main import build_parser
from rlepose_ext.version import __version__

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md') for path in ROOT.glob(pattern)
)
FENCE = re.compile(r'^```(\w*)\n(.*?)^```', re.S | re.M)
INLINE = re.compile(r'`([^`\n]+)`')
LINK = re.compile(r'\]\(([^)\s]+)\)|<img src="([^"]+)"')
CONFIG = re.compile(r'\bconfigs/[\w/.-]+\.(?:py|yml|md)\b')
VARIABLE = re.compile(r'\bRLEPOSE_[A-Z_]+')
# Stand for what the reader has; they parse, but no such file exists.
PLACEHOLDERS = {
    'CONFIG',
    'IN',
    'file.pth',
    # docs/own_data.md has it written first
    'data/geckos/rlepose/heatmap_resnet18-slim_geckos-96x96.py',
}

each_document = pytest.mark.parametrize(
    'path', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def fenced(path, language):
    return [body for kind, body in FENCE.findall(path.read_text()) if kind == language]


def command_lines(path):
    """Commands of the shell blocks, in words: comments, variables and prompts left out."""
    for block in fenced(path, 'bash'):
        for line in block.replace('\\\n', ' ').splitlines():
            # a placeholder such as <sha256> would be a redirection
            words = shlex.split(line.replace('<', '').replace('>', ''), comments=True)
            while words and re.match(r'[A-Z_]+=', words[0]):
                words = words[1:]
            if words:
                yield words


def all_commands():
    return [
        pytest.param(words, id=f'{path.name}: {" ".join(words)}')
        for path in DOCUMENTS
        for words in command_lines(path)
    ]


def commands_of(program):
    return [parameter for parameter in all_commands() if parameter.values[0][0] == program]


COG = ['cog', '-P', '--verbosity=0', '-I', str(ROOT / 'tools'), '-p', 'from doc_tables import show']


def test_generated_tables_are_fresh(monkeypatch):
    monkeypatch.chdir(ROOT)
    stale = [path for path in DOCUMENTS if Cog().main([*COG, '--check', str(path)])]
    assert stale == [], 'run `make docs`'


def test_every_table_is_shown_somewhere():
    shown = {
        name for path in DOCUMENTS for name in re.findall(r"cog show\('(\w+)'\)", path.read_text())
    }
    assert shown == set(doc_tables.TABLES)


def test_a_stale_table_is_noticed_and_written(tmp_path, capsys):
    page = tmp_path / 'page.md'
    text = "a\n<!-- [[[cog show('patches') ]]] -->\noutdated row\n<!-- [[[end]]] -->\nz\n"
    page.write_text(text)
    assert Cog().main([*COG, '--check', str(page)]) != 0
    assert page.read_text() == text
    assert Cog().main([*COG, '-r', str(page)]) == 0
    assert text.partition('outdated')[0] in page.read_text()
    assert '`flip_layout`' in page.read_text()
    assert 'outdated row' not in page.read_text()
    assert Cog().main([*COG, '--check', str(page)]) == 0


def results_like_ours():
    """One JSON file of each kind, as its program writes it, with figures easy to recognise."""
    pck = {'0.2': 0.8, '0.1': 0.5, '0.05': 0.2}
    return {
        'cpu_training': [{
            'name': 'ours', 'images_per_second': 91.5, 'ratio_to_stock': 3.21,
            'ratio_range': [3.1, 3.4], 'peak_memory_gb': 2.5,
        }],
        'cpu_training_accuracy': [
            {'name': 'ours', 'seed': 0, 'epochs': 20, 'lsp_val_pck': {**pck, '0.2': 0.83}},
            {'name': 'ours', 'seed': 1, 'epochs': 20, 'lsp_val_pck': {**pck, '0.2': 0.81}},
            {'name': 'stock', 'seed': 0, 'epochs': 20, 'lsp_val_pck': {**pck, '0.2': 0.815}},
        ],
        'data_path': [{
            'method': 'RLE', 'side': 'ours', 'samples_per_second': 432,
            'times_stock': {'median': 1.5, 'q25': 1.4, 'q75': 1.6},
        }],
        'machine': [
            {
                'part': 'loss', 'what': 'RLE', 'unit': 'ms', 'ours': 1.25,
                'ratio': {'median': 2.5, 'q25': 2.4, 'q75': 2.6},
            },
            {'part': 'start', 'what': 'failed: x', 'unit': '', 'ours': 0.0, 'ratio': None},
        ],
        'compiled': [{
            'config': 'c', 'side': 'amp', 'batch': 64, 'images_per_second': 81.25,
            'times_plain': {'median': 1.25, 'q25': 1.2, 'q75': 1.3}, 'first_step_seconds': 80.2,
            'gpu_memory_gib': None,
        }],
        'quickstart': [{
            'device': 'cpu', 'metrics': {'coco/AP': 0.5678}, 'mean_pose_ap': 0.0123,
            'num_train': 6000, 'num_val': 400, 'train_seconds': 123.4,
        }],
        'rle_loss': [{
            'device': 'cuda', 'autocast': True, 'batch': 1024, 'visible': 0.7,
            'mmpose_ms': {'median': 9.876}, 'ours_ms': {'median': 4.321},
            'times_faster': {'median': 2.345, 'q25': 2.1, 'q75': 2.5},
        }],
    }  # fmt: skip


def test_tables_show_the_figures_of_the_json(monkeypatch, tmp_path):
    monkeypatch.setattr(doc_tables.common, 'RESULTS', tmp_path)
    for name in ('cpu_training', 'cpu_training_accuracy', 'quickstart', 'rle_loss', 'synthetic'):
        assert 'Not measured yet' in doc_tables.TABLES[name]()
    frame = {
        'command': 'python benchmarks/x.py', 'commit': '0123456789abcdef+changes',
        'versions': {'python': '3.11.7', 'torch': '2.11.0'},
        'date': '2026-01-31', 'repeats': 3, 'spread': 'yes',
        'machine': {
            'cpu': 'Some CPU', 'cpu_family': 6, 'cpu_model': 143, 'cpu_stepping': 8,
            'cpu_flags': ['avx2'], 'cores': 2, 'threads': 1,
        },
    }  # fmt: skip
    for name, rows in results_like_ours().items():
        (tmp_path / f'{name}.json').write_text(json.dumps({**frame, 'rows': rows}))
    synthetic = {**frame, 'rows': [{'images_per_second': 120.0, 'repeats': [110, 130, 120]}]}
    (tmp_path / 'synthetic.json').write_text(json.dumps(synthetic))

    for name, expected in {
        'cpu_training': '| ours | 91.5 | 3.21 (3.10 to 3.40) | 2.5 |',
        'cpu_training_accuracy': '| **ours** | mean of 2 | 0.8200 | 0.5000 | 0.2000 |',
        'data_path': '| RLE | ours | 432 | 1.50 (1.40 to 1.60) |',
        'machine': '| loss | RLE | 1.25 ms | 2.50 (2.40 to 2.60) |',
        'compiled': '| c | amp | 64 | 81.2 | 1.25 (1.20 to 1.30) | 80 | - |',
        'quickstart': '| cpu | 6,000 / 400 | 0.568 | 0.012 | 123 | - | - |',
        'rle_loss': '| cuda, autocast | 1,024 | 70% | 9.876 | 4.321 | **2.35** (2.10 to 2.50) |',
        'synthetic': '| 120 | 110 | 130 | 3 |',
    }.items():
        text = doc_tables.TABLES[name]()
        assert expected in text
        assert (
            '`python benchmarks/x.py`; Some CPU (family 6, model 143, stepping 8, avx2), '
            '2 cores, 1 in use, python 3.11.7, torch 2.11.0, '
            'on 2026-01-31 at commit 0123456789 with changes'
        ) in text
    # another machine, whose ratio is worse and of which less is known
    (row,) = results_like_ours()['cpu_training']
    worse = {
        **frame, 'date': None, 'commit': None, 'command': None, 'note': 'Told by mail',
        'machine': {'cpu': 'Other CPU'},
        'rows': [{**row, 'ratio_to_stock': 2.02, 'ratio_range': None}],
    }  # fmt: skip
    (tmp_path / 'cpu_training.other.json').write_text(json.dumps(worse))
    text = doc_tables.TABLES['cpu_training']()
    assert '| ours | 91.5 | 2.02 | 2.5 |' in text
    assert 'commit not known, 3 repeats. Told by mail.*' in text
    other, some = (text.index(f'On {name} CPU') for name in ('Other', 'Some'))
    assert other < text.index('2.02') < some < text.index('3.21')
    assert '| ours less stock |  | +0.0050 |' in doc_tables.TABLES['cpu_training_accuracy']()
    assert 'PCK@0.2 0.820 (2 seeds)' in doc_tables.TABLES['rle_configs']()


def test_quoted_figures_say_from_where():
    for model in [model for family in FAMILIES for model in models(family)]:
        quoted = any(entry.get('Metrics') for entry in model.get('Results', []))
        assert not quoted or 'Quoted From' in model['Metadata'], model['Name']


@pytest.fixture(scope='module')
def verbs():
    return set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.M))


@pytest.fixture(scope='module')
def variables():
    """All that the code reads."""
    sources = [*ROOT.glob('rlepose_ext/**/*.py'), *ROOT.glob('configs/**/*.py')]
    sources += [ROOT / 'Makefile', ROOT / 'tests' / 'conftest.py']
    return {name for path in sources for name in VARIABLE.findall(path.read_text())}


@each_document
def test_what_a_page_names_exists(path, verbs, variables):
    """Links, configs, variables, verbs of make and commands; and no path of some machine."""
    text = path.read_text()
    for pair in LINK.findall(text):
        target = (pair[0] or pair[1]).partition('#')[0]
        assert not target or '://' in target or (path.parent / target).exists(), target
    assert [name for name in CONFIG.findall(text) if not (ROOT / name).is_file()] == []
    assert set(VARIABLE.findall(text)) <= variables
    code = '\n'.join([*INLINE.findall(text), *fenced(path, 'bash')])
    assert set(re.findall(r'\bmake ([a-z][a-z-]*)', code)) <= verbs
    commands = build_parser()._subparsers._group_actions[0].choices
    assert set(re.findall(r'`rlepose ([a-z][\w-]*)', text)) <= set(commands)
    assert re.findall(r'(?<![\w.])/(?:work|tmp|root|home|mnt|opt)\b\S*', text) == []


@pytest.mark.parametrize('words', commands_of('rlepose'))
def test_rlepose_commands_parse(words):
    args = build_parser().parse_args(words[1:])
    config = getattr(args, 'config', None)
    if config is not None and config not in PLACEHOLDERS:
        assert (ROOT / config).is_file()


@pytest.mark.parametrize('words', commands_of('mim'))
def test_mim_commands_have_their_order(words):
    verb, package, config = words[1:4]
    assert verb in ('train', 'test')
    assert package == ('mmdet' if 'mmdetection_cfg' in config else 'mmpose')
    assert (ROOT / config).is_file()
    assert ('-C' in words) == (verb == 'test')


@pytest.mark.parametrize('words', commands_of('python'))
def test_python_commands_run_a_file(words):
    if words[1] == '-m':
        assert importlib.util.find_spec(words[2])
        assert all((ROOT / word).exists() for word in words[3:] if '/' in word)
        return
    assert (ROOT / words[1]).is_file()
    code = (ROOT / words[1]).read_text()
    if 'rlepose_ext.cli.demo import add_common' in code:
        code += (ROOT / 'rlepose_ext/cli/demo.py').read_text()
    for option in words[2:]:
        if option.startswith('--'):
            assert f"'{option}'" in code, option


@each_document
def test_python_blocks_compile_and_import(path):
    for block in fenced(path, 'python'):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_installation_pins_are_those_of_the_setup():
    page = (ROOT / 'docs' / 'install.md').read_text()
    for pin in (ROOT / 'requirements' / 'nodeps.txt').read_text().splitlines():
        assert pin.startswith('#') or pin in page
    assert 'mmcv-lite==2.1.0' in (ROOT / 'requirements' / 'constraints.txt').read_text()
    assert re.search(r'pip install --no-deps .*mmcv-lite==2\.1\.0', page)
    assert f'## {__version__}' in (ROOT / 'CHANGELOG.md').read_text()


def test_pictures_are_small_and_shown():
    text = ''.join(path.read_text() for path in DOCUMENTS)
    for path in (ROOT / 'docs' / 'images').iterdir():
        assert path.stat().st_size < 200_000, path
        assert f'images/{path.name}' in text


def test_the_api_page_names_what_is_public():
    for name in re.findall(r'^::: (\S+)', (ROOT / 'docs' / 'api.md').read_text(), re.M):
        module, _, attribute = name.rpartition('.')
        found = pkgutil.resolve_name(name)
        if isinstance(found, ModuleType):
            assert found.__all__
        else:
            assert attribute in importlib.import_module(module).__all__


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 130


def test_pre_commit_has_the_pinned_ruff():
    constraints = (ROOT / 'requirements' / 'constraints.txt').read_text().splitlines()
    (pin,) = [line for line in constraints if line.startswith('ruff==')]
    (repo,) = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    assert repo['repo'] == 'local'
    assert [hook['additional_dependencies'] for hook in repo['hooks']] == [[pin], [pin]]
    verbs = [hook['entry'].split()[:2] for hook in repo['hooks']]
    assert verbs == [['ruff', 'format'], ['ruff', 'check']]


def test_model_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = {str(path.relative_to(ROOT)) for path in ROOT.glob('configs/*/metafile.yml')}
    assert set(index['Import']) == metafiles
