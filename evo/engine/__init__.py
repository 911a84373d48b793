"""The search itself: pure decisions, and the loop that connects them with the objects that have effects."""
