"""`maestro demo`: a *simulated* fleet in three clouds with seeded faults, beside this host's own real metrics."""
