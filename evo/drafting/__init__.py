"""A study file from the classes of a training: `evo init`."""
