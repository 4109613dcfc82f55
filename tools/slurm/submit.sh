#!/usr/bin/env bash
# sbatch or DUG's rj with a look first: a wrong config, checkpoint or option is an error now, and
# not after hours in the queue. Takes what they take, and copies of our scripts as well:
#
#   tools/slurm/submit.sh [options of sbatch] tools/slurm/train.sbatch CONFIG [...]
#   tools/slurm/submit.sh [options of sbatch] tools/slurm/test.sbatch CONFIG -C FILE [...]
#   export CONFIG=... ; tools/slurm/submit.sh [options of sbatch] tools/dug/train.sbatch
#   export CONFIG=... ; tools/slurm/submit.sh tools/dug/train_1gpu.rj
set -euo pipefail

position=0
script=
for argument in "$@"; do
    position=$((position + 1))
    if [[ $argument =~ \.(sbatch|rj)$ && -f $argument ]]; then
        script=$argument
        break
    fi
done
if [[ -z $script || ! $(< "$script") =~ rlepose_ext\.cli\.main\ (train|test) ]]; then
    echo "usage: $0 [options of sbatch] tools/slurm/{train,test}.sbatch CONFIG [...], or a script" \
        "of tools/dug, or a copy of one" >&2
    exit 2
fi
command=${BASH_REMATCH[1]}
if [[ ! -f tools/_python.sh ]]; then
    echo "$0: submit from the checkout; the job runs where it was submitted" >&2
    exit 2
fi

arguments=("${@:position+1}")
if [[ $(< "$script") == *tools/dug/_job.sh* ]]; then
    if ((${#arguments[@]})); then
        echo "$0: $script reads CONFIG and OPTIONS, and nothing after its name: ${arguments[*]}" >&2
        exit 2
    fi
    # shellcheck source=tools/dug/_options.sh
    source tools/dug/_options.sh
    arguments=("$CONFIG")
    [[ $command == train ]] || arguments+=(-C "${CHECKPOINT:-}")
    arguments+=(${options[@]+"${options[@]}"})
fi

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/../_python.sh"

"$python" -m rlepose_ext.cli.main "$command" --dry-run ${arguments[@]+"${arguments[@]}"}
queue=sbatch
[[ $script != *.rj ]] || queue=rj
if ! type -P "$queue" > /dev/null; then
    echo "$0: $queue is not on PATH: no Slurm here, or its module is not loaded" >&2
    exit 2
fi
exec "$queue" "$@"
