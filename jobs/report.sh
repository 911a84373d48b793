#!/bin/bash
# The results of all runs in a folder, after the jobs that write to it have ended, successfully or not:
# sbatch --dependency=afterany:$(sbatch --parsable jobs/seeds.sh study.yaml) jobs/report.sh runs/seeds
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=report
#SBATCH --output=%x-%j.out
#SBATCH --time=00:10:00
#SBATCH --ntasks=1

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's

evo best "$1"/*/
