"""What is said while one waits: a bar for a person, one line for a log, nothing on stdout."""

import sys

from rlepose_ext.zoo.progress import bar


def test_one_line_in_a_log(capsys):
    with bar('net') as update:
        update(0, 2_500_000)
        update(2_500_000, 2_500_000)
    with bar('rest') as update:
        update(1_000_000, 2_500_000)
    with bar('unknown') as update:
        update(0, None)
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.splitlines() == [
        'net: 2.5 MB',
        'rest: 2.5 MB, 1.0 MB are there',
        'unknown: size not known',
    ]


def test_a_bar_on_a_terminal_and_lines_for_a_second_one(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    monkeypatch.setenv('TERM', 'xterm')
    with bar('net') as update:
        # rich shows one live display at a time
        with bar('other') as second:
            second(0, 2_500_000)
        update(1_000_000, 2_500_000)
    said = capsys.readouterr()
    assert said.out == ''
    assert '1.0/2.5 MB' in said.err
    assert 'other: 2.5 MB' in said.err
    with bar('again') as update:
        update(5, 5)
    assert 'again' in capsys.readouterr().err
