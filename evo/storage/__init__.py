"""What is kept in files: journals, run directories, checkpoints."""
