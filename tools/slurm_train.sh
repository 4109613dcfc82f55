#!/usr/bin/env bash
# Train under Slurm, from a login node or inside an allocation; waits until the job ends.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of `rlepose train`]
#
# From the environment: GPUS (in all, default 8), GPUS_PER_NODE (default GPUS, at most
# 8), CPUS_PER_TASK (default 5), SRUN_ARGS (more options of srun, quoted as in a shell).
set -euo pipefail

if (($# < 4)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of rlepose train]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"

per_node=()
[[ -z ${GPUS_PER_NODE:-} ]] || per_node=(--gpus-per-node "$GPUS_PER_NODE")

exec "$python" -m rlepose_ext.cli.main train "$config" --work-dir "$work_dir" --launcher slurm \
    --partition "$partition" --job-name "$job_name" --gpus "${GPUS:-8}" \
    ${per_node[@]+"${per_node[@]}"} --cpus-per-task "${CPUS_PER_TASK:-5}" \
    --srun-args="${SRUN_ARGS:-}" "$@"
