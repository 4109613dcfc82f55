# shellcheck shell=bash
# Sourced by job scripts. A job that is told to stop before it is done queues itself again.
#
#   run_or_requeue SIGNAL COMMAND...
#
# runs COMMAND. When the job script gets USR1, which `#SBATCH --signal=B:USR1@180` sends 180
# seconds before the time limit, it passes SIGNAL on, waits for COMMAND and requeues the job.
# SIGNAL: USR1 for srun, which hands it to its tasks but ends them at once on TERM; TERM for
# torchrun and python. Where preemption leaves a job some time (GraceTime), Slurm sends TERM to
# the tasks of srun itself, and requeues only a job that has not ended when that time is over.

run_or_requeue() {
    local signal=$1 pid status
    shift
    time_is_up=
    "$@" &
    pid=$!
    # shellcheck disable=SC2064  # the process and the signal of now
    trap "time_is_up=yes; waiting=yes; kill -$signal $pid 2> /dev/null || true" USR1
    waiting=yes
    while [[ -n $waiting ]]; do
        # The signal ends `wait` early, and its status is then not that of COMMAND.
        waiting=
        status=0
        wait "$pid" || status=$?
    done
    trap - USR1
    # 0: the training is complete. 2: rlepose refuses to go on, and would again.
    if ((status != 0 && status != 2)) && { [[ -n $time_is_up ]] || is_preempted; }; then
        echo "$(date '+%F %T') told to stop: job ${SLURM_JOB_ID:-} goes back into the queue"
        if scontrol requeue "$SLURM_JOB_ID"; then
            # Slurm ends this script now.
            sleep 60
        else
            echo "It does not: requeueing is off for this job (\`sbatch --no-requeue\`, or" \
                "JobRequeue=0 of the cluster without \`--requeue\`). Submit it again; it goes on" \
                "from its last checkpoint." >&2
        fi
    fi
    return "$status"
}

is_preempted() {
    [[ -n ${SLURM_JOB_ID:-} ]] && scontrol show job "$SLURM_JOB_ID" | grep -q 'PreemptTime=[0-9]'
}
