#!/bin/bash
# Several nodes with 4 GPUs each, a rank on each GPU:  sbatch --nodes=8 jobs/several_nodes.sh study.yaml
# The run directory must be on a file system that all nodes share.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # for the training and the data loading of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

# When a node is lost, the ranks on the others end as well, and the same command continues from the journals.
exec $launch python -m evo.run "$@"
