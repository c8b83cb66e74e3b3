"""The benchmark: what is measured, by whom, in which order, and how the results are reported."""
