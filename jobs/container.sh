#!/bin/bash
# Several nodes with 4 GPUs each, in containers:  sbatch --nodes=8 jobs/container.sh study.yaml
# The image is made from jobs/container/evo.def. This folder, with the run directory, is what the containers share.
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=evo
#SBATCH --output=%x-%j.out
#SBATCH --time=04:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4  # ranks
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8    # for the training and the data loading of one rank

set -e
image=${IMAGE:-evo.sif}  # <- 2. your image
launch=${LAUNCH:-srun --mpi=pmix --cpus-per-task=$SLURM_CPUS_PER_TASK}  # <- 3. mpirun would have to be the same inside

# What ranks share with Slurm's PMIx and with each other outside of MPI's sockets may be hidden by their containers.
export PMIX_MCA_gds=hash
export OMPI_MCA_smsc=^cma,xpmem

exec $launch apptainer exec --nv --bind "$PWD" --pwd "$PWD" "$image" python -m evo.run "$@"
