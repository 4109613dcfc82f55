# shellcheck shell=bash
# Sourced by dist_*.sh: sets `nodes`, the options of several machines, from the environment.

nodes=()
[[ -z ${PORT:-} ]] || nodes+=(--port "$PORT")
[[ -z ${NNODES:-} ]] || nodes+=(--nnodes "$NNODES")
[[ -z ${NODE_RANK:-} ]] || nodes+=(--node-rank "$NODE_RANK")
[[ -z ${MASTER_ADDR:-} ]] || nodes+=(--master-addr "$MASTER_ADDR")
