"""Small helpers that know nothing of networks: lookup by name, optional packages, nested tuples and lists."""
