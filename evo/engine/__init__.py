"""The search itself: pure decisions, and the loop that connects them with what has effects."""
