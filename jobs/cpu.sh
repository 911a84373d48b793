#!/bin/bash
# One node without GPUs:  sbatch jobs/cpu.sh study.yaml
# For small networks; for a plain Python loss use one CPU per rank and more ranks.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8  # ranks
#SBATCH --cpus-per-task=4    # threads of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

exec $launch python -m evo.run "$@"
