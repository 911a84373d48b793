#!/bin/bash
# One node with 4 GPUs, 3 ranks on each:  sbatch jobs/shared_gpus.sh study.yaml
# For trainings that leave a GPU idle and of which three fit into its memory. Only a training that needs more fails.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=12 # ranks: 0, 4 and 8 share the first GPU
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=2    # for the training and the data loading of one rank

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's
launch=${LAUNCH:-mpirun --bind-to none}  # <- 3. or srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK

# With CUDA MPS, where the site permits it, trainings on one GPU compute at the same time rather than in turns:
#export CUDA_MPS_PIPE_DIRECTORY=/tmp/mps-$SLURM_JOB_ID CUDA_MPS_LOG_DIRECTORY=/tmp/mps-$SLURM_JOB_ID
#mkdir -p "$CUDA_MPS_PIPE_DIRECTORY"
#nvidia-cuda-mps-control -d  # Slurm ends it with the job.

exec $launch python -m evo.run --gpu-memory 0.3 "$@"  # 0.3 of a GPU's memory for each of the three
