"""Scripts that are run from the project's root: the demo, the tests, the benchmark."""
