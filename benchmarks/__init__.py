"""What evo costs and how well it searches; each file is a command of its own."""
