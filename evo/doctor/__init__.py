"""`evo doctor`: finds what would be a problem for a search here, before a batch job is spent on it."""
