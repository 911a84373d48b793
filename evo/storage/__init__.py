"""Files of a study: journals, run directories and checkpoints."""
