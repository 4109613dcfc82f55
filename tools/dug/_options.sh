# shellcheck shell=bash
# shellcheck disable=SC2034  # who sources this uses it
# Sourced where a job runs and where it is submitted: sets `options`, the words of OPTIONS.

if [[ -z ${CONFIG:-} ]]; then
    echo "set CONFIG to a config file, and have the job get it: see docs/dug_setup.md" >&2
    exit 2
fi
options=()
# Blanks alone are no option, and xargs would make an empty one of them.
if [[ ${OPTIONS:-} == *[![:space:]]* ]]; then
    # xargs reads quotes as a shell does, and runs nothing of what it reads.
    if ! words=$(xargs printf '%s\n' <<< "$OPTIONS"); then
        echo "OPTIONS cannot be read, a quote is not closed: $OPTIONS" >&2
        exit 2
    fi
    mapfile -t options <<< "$words"
fi
