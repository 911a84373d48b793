#!/bin/bash
# The same search with five seeds, each in a job of its own:  sbatch jobs/seeds.sh study.yaml
# jobs/report.sh, submitted to run after it, shows the results of all.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=seeds
#SBATCH --output=%x-%A_%a.out
#SBATCH --array=0-4          # the seeds
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # for the training and the data loading of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

exec $launch python -m evo.run "$@" --seed "$SLURM_ARRAY_TASK_ID" --run-dir "runs/$SLURM_JOB_NAME/$SLURM_ARRAY_TASK_ID"
