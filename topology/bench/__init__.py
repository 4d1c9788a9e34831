"""`maestro bench`: what is measured of a running product, each figure with that of a peer or a floor from the same run.

A benchmark gives values (`Found` and the like); `topology.cli.bench` shows them. What is measured runs in processes of
its own (`sides`), so that CPU time can be told apart. docs/benchmarks.md says what the figures mean.
"""
