"""Every record says what made it, at a commit that exists; which are older than their code."""

import json
import re
import subprocess
import warnings

import _history
import pytest

from doc_tables import history as table

FILES = sorted((_history.ROOT / 'benchmarks' / 'results').glob('*.json'))
FIELDS = {'command', 'date', 'commit', 'code', 'seed', 'repeats', 'spread', 'versions', 'machine'}
MACHINE = {'cpu', 'cpu_family', 'cpu_model', 'cpu_stepping', 'cpu_flags', 'cores', 'threads'}

each_file = pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)


@pytest.fixture
def history():
    reason = _history.no_history()
    if reason:
        pytest.skip(reason)


@each_file
def test_a_record_is_whole(path):
    content = json.loads(path.read_text())
    assert set(content) >= FIELDS
    assert set(content['machine']) >= MACHINE
    assert content['rows']
    # what an old record does not know is null, and it says so
    unknown = [name for name in ('command', 'date', 'commit') if content[name] is None]
    assert not unknown or content['note']
    if content['date']:
        assert content['machine']['cpu']
        assert content['machine']['cores'] >= 1
        assert content['repeats'] >= 1
        assert content['repeats'] == 1 or content['spread']
    for made in (content, *(row for row in content['rows'] if 'commit' in row)):
        assert re.fullmatch(r'20\d\d-\d\d-\d\d', made['date'] or '2000-01-01')
        assert made['commit'] or made['note']


@each_file
def test_a_record_was_made_at_a_commit_of_the_history(path, history):
    content = json.loads(path.read_text())
    commits = {made['commit'] for made in (content, *content['rows']) if made.get('commit')}
    for commit in commits:
        assert re.fullmatch('[0-9a-f]{40}', commit), 'made with uncommitted changes'
        assert _history.in_history(commit), commit
        for code in content['code']:
            there = (_history.ROOT / code).exists() or _history.exists(commit, code)
            assert there, f'no such code: {code}'


def test_records_that_are_older_than_their_code(history):
    """Reports them; being old is no failure."""
    old = [(each, each.changes()) for each in table.made()]
    lines = [f'{each.file}, {each.count} rows: {n} commits' for each, n in old if n]
    if lines:
        warnings.warn('changed since the measurement:\n' + '\n'.join(lines), stacklevel=1)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with two commits, and a function that makes another."""
    folder = tmp_path / 'checkout'
    (folder / 'code').mkdir(parents=True)
    monkeypatch.setattr(_history, 'ROOT', folder)
    for name in ('AUTHOR', 'COMMITTER'):
        monkeypatch.setenv(f'GIT_{name}_NAME', 'a')
        monkeypatch.setenv(f'GIT_{name}_EMAIL', 'a@example.org')
    subprocess.run(['git', 'init', '-q', folder], check=True)

    def change(name, *options):
        (folder / name).write_text(
            (folder / name).read_text() + 'x' if (folder / name).exists() else ''
        )
        _history._git('add', '-A')
        _history._git('commit', '-q', '-m', name, *options)
        return _history.commit(['code'])

    change('code/a.py')
    change('readme')
    return change


def test_changes_of_the_code_are_counted(checkout):
    first = checkout('code/a.py')
    assert _history.changes(first, ['code']) == 0
    checkout('readme')
    assert _history.changes(first, ['code']) == 0
    second = checkout('code/b.py')
    checkout('code/a.py')
    assert _history.changes(first, ['code']) == 2
    assert _history.changes(first, ['code/b.py', 'gone']) == 1
    assert _history.changes(first, ['code'], until=second) == 1
    assert _history.changes(second, ['code'], until=first) == 0


def test_a_rewritten_commit_is_not_in_the_history(checkout):
    lost = checkout('code/a.py')
    assert _history.in_history(lost)
    checkout('code/a.py', '--amend')
    assert not _history.in_history(lost)
    assert not _history.in_history('0' * 40)


def test_where_there_is_no_history(checkout, tmp_path, monkeypatch):
    assert _history.no_history() is None
    origin = f'file://{_history.ROOT}'
    monkeypatch.setattr(_history, 'ROOT', tmp_path)
    subprocess.run(['git', 'clone', '-q', '--depth=1', origin, tmp_path / 'shallow'], check=True)
    assert _history.no_history() == 'not a git checkout'
    assert _history.commit(['code']) is None
    monkeypatch.setattr(_history, 'ROOT', tmp_path / 'shallow')
    assert 'shallow' in _history.no_history()


@pytest.mark.slow
def test_the_page_counts_up_to_the_commit_that_it_names(history, monkeypatch, tmp_path):
    """So it does not change with every commit, and a commit that was lost is no dead end."""
    page = tmp_path / 'records.md'
    monkeypatch.setattr(table, 'PAGE', page)

    def as_of(commit):
        with monkeypatch.context() as patch:
            patch.setenv('AS_OF', commit)
            return table.records()

    before, day = _history.dated('HEAD~1')
    page.write_text(f'As of commit {before[:10]} of {day}:')
    text = table.records()
    assert text == as_of(before) != as_of('HEAD')
    assert all(path.name in text for path in FILES)
    page.write_text('As of commit 0123456789 of 2026-01-01:')
    assert table.records() == as_of('HEAD')
