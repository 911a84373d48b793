"""Who lives on which island, and who travels."""
