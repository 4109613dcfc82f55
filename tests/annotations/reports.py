"""What a report of `rlepose data check` says, as text."""


def problems(report):
    return [str(finding) for finding in report.problems]


def notes(report):
    return [str(finding) for finding in report.findings if finding.severity == 'note']


def only_problem(report):
    (problem,) = problems(report)
    return problem
