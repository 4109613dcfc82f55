#!/usr/bin/env bash
# Train with one process for each GPU of this machine; on the CPU where there is no GPU.
#
#   tools/dist_train.sh CONFIG GPUS [options of `rlepose train`]
#
# On several machines run it on each, with the same CONFIG and GPUS:
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 PORT=29500 tools/dist_train.sh CONFIG GPUS
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [options of rlepose train]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2

# shellcheck source=tools/_python.sh
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
# shellcheck source=tools/_nodes.sh
source "$(dirname "${BASH_SOURCE[0]}")/_nodes.sh"

exec "$python" -m rlepose_ext.cli.main train "$config" --launcher pytorch --gpus "$gpus" \
    ${nodes[@]+"${nodes[@]}"} "$@"
