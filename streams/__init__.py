"""What is decided: one package a layer, each with a pure engine. Imports `schemas` and never `topology`."""
