"""Algorithms that learn from every individual that finishes."""
