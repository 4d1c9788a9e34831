"""Istio's own registry: what its users say of services and workloads that are not Kubernetes'.

forms.py     ServiceEntry and WorkloadEntry of networking.istio.io/v1, as far as they are read
entries.py   one object as assets
rows.py      all objects together: who depends on whom, and what a change of one changes
provider.py  LIST and WATCH
"""
