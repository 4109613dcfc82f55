"""The page of the founding notebook's results: its links exist, its rows are complete."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/notebook_results.md'
LINK = re.compile(r'\]\(([^)#\s]+)')
NUMBER = re.compile(r'[\d.]+')
COLUMNS = ['system', 'backbone', 'input', 'time an epoch, quoted', 'AP, quoted']
COLUMNS += ['for comparison, quoted', 'config here']


def rows():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith('|')]
    table = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert table[0] == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in table[2:]]


def configs(row):
    """The config files that a row links, from the project's root."""
    links = LINK.findall(row['config here'])
    return [link.removeprefix('../') for link in links if link.endswith('.py')]


def test_every_row_has_its_config():
    assert len(rows()) >= 25
    for row in rows():
        assert configs(row), row['system']
        assert all(row[column] for column in COLUMNS)


def test_it_says_whose_figures_these_are():
    text = PAGE.read_text()
    assert 'Every figure on this page is quoted from the founding notebook.' in text
    assert all('quoted' in column for column in COLUMNS[3:6])
    doubts = text.split('## What to doubt')[1]
    numbers = set(re.findall(r'\[(\d)\](?!\()', text))
    assert numbers == {str(number) for number in range(1, 8)}
    assert all(re.search(rf'^{number}\. ', doubts, re.M) for number in numbers)


def models():
    paths = sorted(ROOT.glob('configs/*/metafile.yml'))
    return [model for path in paths for model in yaml.safe_load(path.read_text())['Models']]


def test_metafiles_quote_the_same_times():
    costs = {model['Config']: model['Metadata'].get('Training Cost', '') for model in models()}
    shown = {configs(row)[0]: row['time an epoch, quoted'] for row in rows() if configs(row)}
    shown = {config: numbers for config, text in shown.items() if (numbers := NUMBER.findall(text))}
    assert {config: NUMBER.findall(costs[config]) for config in shown} == shown
    quoted = {config for config, cost in costs.items() if '(founding notebook)' in cost}
    assert quoted == set(shown)


def test_metafiles_quote_the_same_figures():
    shown = {config: row['AP, quoted'] for row in rows() for config in configs(row)}
    quoted = [m for m in models() if 'founding notebook' in m['Metadata'].get('Quoted From', '')]
    assert quoted
    for model in [model for model in quoted if model.get('Results')]:
        figures = [float(value) for value in re.findall(r'0\.\d+', shown[model['Config']])]
        assert model['Results'][0]['Metrics']['AP'] in figures
