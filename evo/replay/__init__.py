"""The breeding decisions of a search, made again from its journals."""
