"""`evo doctor`: what would be a problem for a search, seen from inside an allocation before any of it is spent."""
