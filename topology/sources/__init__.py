"""Real input for the topology: recorded series from CSV files, and this host's own metrics."""
