"""The command line: `maestro`, also as `python -m topology`. One module for each family of commands.

Exit status 0; 1 = it ran and found a failure; 2 = wrong usage or configuration. Data goes to stdout, the rest to
stderr.
"""

from topology.cli.app import app, main

__all__ = ["app", "main"]
