#!/bin/bash
# Two ranks evaluate each individual together:  sbatch jobs/ranks_per_worker.sh study.yaml
# For an objective that computes on trial.communicator.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # threads of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

ranks_per_worker=${RANKS_PER_WORKER:-2}  # or 4: it must divide the number of ranks

exec $launch python -m evo.run "$@" --ranks-per-worker "$ranks_per_worker"
