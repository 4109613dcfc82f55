# shellcheck shell=bash
# Sourced by job scripts. A job whose time is nearly up saves, stops and queues itself again.
#
#   run_or_requeue SIGNAL COMMAND...
#
# runs COMMAND. When the job script gets USR1, which `#SBATCH --signal=B:USR1@180` sends 180
# seconds before the time limit, it passes SIGNAL on, waits for COMMAND and requeues the job.
# SIGNAL: USR1 for srun, which hands it to its tasks but ends them at once on TERM; TERM for
# torchrun and python.

run_or_requeue() {
    local signal=$1 pid status=0
    shift
    time_is_up=
    "$@" &
    pid=$!
    # shellcheck disable=SC2064  # the process and the signal of now
    trap "time_is_up=yes; kill -$signal $pid 2> /dev/null || true" USR1
    # A signal ends `wait` early.
    while kill -0 "$pid" 2> /dev/null; do
        status=0
        wait "$pid" || status=$?
    done
    trap - USR1
    if [[ -n $time_is_up ]]; then
        echo "$(date '+%F %T') time is up: job ${SLURM_JOB_ID:-} goes back into the queue"
        scontrol requeue "$SLURM_JOB_ID"
        # Slurm ends this script now.
        sleep 60
    fi
    return "$status"
}
