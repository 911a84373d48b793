#!/bin/bash
# One node with 4 GPUs, a rank on each:  sbatch jobs/one_node.sh study.yaml
# All arguments after the script's name go to python -m evo.run.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # for the training and the data loading of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

exec $launch python -m evo.run "$@"
