#!/usr/bin/env bash
# Test a checkpoint under Slurm, from a login node or inside an allocation.
#
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of `rlepose test`]
#
# From the environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS, as in slurm_train.sh.
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of rlepose test]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
checkpoint=$4
shift 4

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"

per_node=()
[[ -z ${GPUS_PER_NODE:-} ]] || per_node=(--gpus-per-node "$GPUS_PER_NODE")

exec "$python" -m rlepose_ext.cli.main test "$config" -C "$checkpoint" --launcher slurm \
    --partition "$partition" --job-name "$job_name" --gpus "${GPUS:-8}" \
    ${per_node[@]+"${per_node[@]}"} --cpus-per-task "${CPUS_PER_TASK:-5}" \
    --srun-args="${SRUN_ARGS:-}" "$@"
