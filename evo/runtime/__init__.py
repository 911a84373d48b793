"""The machine and the job: other ranks, signals, the batch system and devices."""
