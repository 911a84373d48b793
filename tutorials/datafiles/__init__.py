"""The files that the tutorials read: where they come from, and what is in them."""
