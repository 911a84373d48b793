#!/bin/bash
# What the runs in a folder have found, once the jobs that fill it have ended, well or not:
# sbatch --dependency=afterany:$(sbatch --parsable jobs/seeds.sh study.yaml) jobs/report.sh runs/seeds
##SBATCH --account=PROJECT --partition=PARTITION  # <- 1. yours; take one # away
#SBATCH --job-name=report
#SBATCH --output=%x-%j.out
#SBATCH --time=00:10:00
#SBATCH --ntasks=1

set -e
source .venv/bin/activate  # <- 2. your environment; module load MPI before it, if that is the cluster's

evo best "$1"/*/
