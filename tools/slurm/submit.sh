#!/usr/bin/env bash
# sbatch with a look first: a wrong config, checkpoint or option is an error now, and not
# after hours in the queue. Takes what sbatch takes:
#
#   tools/slurm/submit.sh [options of sbatch] tools/slurm/train.sbatch CONFIG [...]
#   tools/slurm/submit.sh [options of sbatch] tools/slurm/test.sbatch CONFIG -C FILE [...]
set -euo pipefail

position=0
script=
for argument in "$@"; do
    position=$((position + 1))
    if [[ $argument == *.sbatch && -f $argument ]]; then
        script=$argument
        break
    fi
done
case $(basename "$script" .sbatch) in
    train | test) command=$(basename "$script" .sbatch) ;;
    *)
        echo "usage: $0 [options of sbatch] tools/slurm/{train,test}.sbatch CONFIG [...]" >&2
        exit 2
        ;;
esac
if [[ ! -f tools/_python.sh ]]; then
    echo "$0: submit from the checkout; the job runs where it was submitted" >&2
    exit 2
fi

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/../_python.sh"

"$python" -m rlepose_ext.cli.main "$command" --dry-run "${@:position+1}"
if ! type -P sbatch > /dev/null; then
    echo "$0: sbatch is not on PATH: no Slurm here, or its module is not loaded" >&2
    exit 2
fi
exec sbatch "$@"
