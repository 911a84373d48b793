"""Islands: which workers live on which one, and how individuals travel between them."""
