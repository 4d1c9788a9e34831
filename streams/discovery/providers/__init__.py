"""Providers that ship, and `poll`, which runs any provider and says on `discovery-events` what it found."""
