# shellcheck shell=bash
# Sourced by the launch scripts: sets `python`, and refuses one without this package.
#
# PYTHON wins; then an activated environment; then the checkout's own; then PATH.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-}
if [[ -z $python && -z ${VIRTUAL_ENV:-}${CONDA_PREFIX:-} && -x $checkout/.venv/bin/python ]]; then
    python=$checkout/.venv/bin/python
fi
python=${python:-python}

if ! "$python" -c 'import rlepose_ext' 2> /dev/null; then
    echo "$0: $python cannot import rlepose_ext. Run \`make setup\` in $checkout and activate the" \
        "environment, or set PYTHON to the one that has it." >&2
    exit 2
fi
