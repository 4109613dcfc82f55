"""What a check has to say: findings, each counted and with a few examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PROBLEM, NOTE = 'problem', 'note'
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        severity: ``'problem'``, which a training or an evaluation suffers from, or ``'note'``,
            which is worth knowing.
        what: a clause, such as ``'images are missing'``.
        count: how often.
        examples: the first few: ids, file names, or whole messages.
    """

    severity: str
    what: str
    count: int = 1
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        counted = f'{self.count:,} ' if self.count > 1 or self.examples else ''
        more = ', ...' if self.count > len(self.examples) else ''
        listed = f': {", ".join(self.examples)}{more}' if self.examples else ''
        return f'{self.severity}: {counted}{self.what}{listed}'


class Findings:
    """A list of findings that leaves out what was not found."""

    def __init__(self) -> None:
        self._all: list[Finding] = []

    def problem(self, what: str, examples: Iterable[object] | None = None) -> None:
        """Add a problem: a single one, or one with its examples, unless there are none."""
        self._add(PROBLEM, what, examples)

    def note(self, what: str, examples: Iterable[object] | None = None) -> None:
        """The same for a note."""
        self._add(NOTE, what, examples)

    def _add(self, severity: str, what: str, examples: Iterable[object] | None) -> None:
        if examples is None:
            self._all.append(Finding(severity, what))
            return
        found = list(examples)
        if found:
            shown = tuple(str(example) for example in found[:_SHOWN])
            self._all.append(Finding(severity, what, len(found), shown))

    def __iter__(self) -> Iterator[Finding]:
        """Problems first."""
        yield from sorted(self._all, key=lambda finding: finding.severity == NOTE)
