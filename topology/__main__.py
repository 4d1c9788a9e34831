"""`python -m topology` is `maestro`."""

from topology.cli import main

main()
