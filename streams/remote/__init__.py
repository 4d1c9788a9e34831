"""Clients of outside systems that more than one layer speaks with: I/O, time-outs, typed errors; no decisions."""
