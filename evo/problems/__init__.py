"""Ready objectives: test functions, and trainings on real data."""
