"""`evo doctor`: what would bite a search, seen from inside an allocation before any of it is spent."""
