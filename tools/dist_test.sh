#!/usr/bin/env bash
# Test a checkpoint with one process for each GPU of this machine; on the CPU without a GPU.
#
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of `rlepose test`]
#
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, as in dist_train.sh.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of rlepose test]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
# shellcheck source=tools/_nodes.sh
source "$(dirname "${BASH_SOURCE[0]}")/_nodes.sh"

exec "$python" -m rlepose_ext.cli.main test "$config" -C "$checkpoint" --launcher pytorch \
    --gpus "$gpus" ${nodes[@]+"${nodes[@]}"} "$@"
