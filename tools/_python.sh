# shellcheck shell=bash
# Sourced by the launch scripts: sets `python`, and refuses one without this package.
#
# PYTHON wins; then an activated environment; then the checkout's own; then PATH. An environment
# is found by its name, for a job inherits that, and the login shell it runs in makes a new PATH.
# conda's base, which many login shells activate by themselves, comes after the checkout's own.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-}
if [[ -z $python ]]; then
    environment=${VIRTUAL_ENV:-${CONDA_PREFIX:-$checkout/.venv}}
    # Only base has this folder; a job may not inherit CONDA_DEFAULT_ENV.
    if [[ -d $environment/condabin && -x $checkout/.venv/bin/python ]]; then
        environment=$checkout/.venv
    fi
    python=$environment/bin/python
    [[ -x $python ]] || python=python
fi

# Not from the current folder: in the checkout every Python would find the package there.
if ! "$python" -c 'import sys; sys.path = [p for p in sys.path if p]; import rlepose_ext' 2> /dev/null
then
    echo "$0: $python cannot import rlepose_ext. Run \`make setup\` in $checkout and activate the" \
        "environment, or set PYTHON to the one that has it." >&2
    exit 2
fi
