# shellcheck shell=bash
# shellcheck disable=SC2034  # the job scripts use what is set here
# Sourced by the job scripts of this folder, in the checkout: software, proxy, caches, GPUs.
#
# From the environment:
#   CONFIG      the config, needed
#   OPTIONS     more options of `rlepose`, quoted as in a shell
#   DUG_ROOT    a folder of yours in the project's storage, for caches; default: none are moved
#   MODULES     modules to load, separated by blanks
#   PROXY       the way to the Internet from a compute node; empty for none
#   PYTHON      the interpreter, default the activated environment's, else the checkout's .venv

# shellcheck source=tools/dug/_options.sh
source tools/dug/_options.sh

# `module` is a function of the site and may use what is not set.
set +u
for name in ${MODULES:-}; do
    module add "$name"
done
set -u

proxy=${PROXY-http://proxy.per.dug.com:3128}
if [[ -n $proxy ]]; then
    export http_proxy=$proxy https_proxy=$proxy HTTP_PROXY=$proxy HTTPS_PROXY=$proxy
    export no_proxy=localhost,127.0.0.1 NO_PROXY=localhost,127.0.0.1
fi
if [[ -n ${DUG_ROOT:-} ]]; then
    export XDG_CACHE_HOME=$DUG_ROOT/cache TORCH_HOME=$DUG_ROOT/cache/torch
fi

# shellcheck source=tools/_python.sh
source tools/_python.sh

if ! type -P nvidia-smi > /dev/null || ! gpus=$(nvidia-smi --list-gpus); then
    echo "no NVIDIA GPU on $(hostname). Ask for a typed one, such as gpus=a100:1: the mi50" \
        "nodes have AMD GPUs." >&2
    exit 2
fi
echo "$gpus"
# Slurm may show the processes fewer than the node has.
if [[ -n ${CUDA_VISIBLE_DEVICES:-} ]]; then
    IFS=, read -ra visible <<< "$CUDA_VISIBLE_DEVICES"
    num_gpus=${#visible[@]}
else
    num_gpus=$(grep -c . <<< "$gpus")
fi
if ((num_gpus > 1)); then
    launcher=(--launcher pytorch --gpus "$num_gpus")
else
    launcher=(--launcher none --gpus 1)
fi
