"""The parts of scripts/benchmark.py: what is measured, who takes part, how a round goes, what is told."""
