#!/bin/bash
# A search that is longer than the walltime, as one job that queues itself again:  sbatch jobs/chain.sh study.yaml
# Five minutes before the end, Slurm signals this shell; the ranks save their trainings, and the next session continues.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo-chain
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append   # one file for all sessions
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # for the training and the data loading of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

# A name of this session alone: another's file would say that ranks are ready which are not.
EVO_READY_FILE=$(mktemp -u)
export EVO_READY_FILE
asked=
trap 'asked=yes' USR1

$launch python -m evo.run "$@" &
search=$!
while kill -0 $search 2>/dev/null; do
    # The signal waits until the ranks are ready for it, because before that it would kill them.
    if [ "$asked" ] && [ -e "$EVO_READY_FILE" ]; then
        asked=
        kill -USR1 $search || true  # It may have just ended.
    fi
    sleep 1
done
status=0
wait $search || status=$?
rm -f "$EVO_READY_FILE"

# 85 means: run the same command again. The number is limited, so that a search without progress ends at some time.
if [ $status = 85 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue "$SLURM_JOB_ID"
elif [ $status = 85 ]; then
    echo "evo: the search is not complete, but this job has been queued 100 times: submit it again to go on"
fi
exit $status
