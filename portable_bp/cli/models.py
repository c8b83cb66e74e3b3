"""Networks of model files."""

from __future__ import annotations

from portable_bp.cli.messages import print_message
from portable_bp.network import Network, load


def load_single(path: str, backend: str) -> Network:
    """Return the network of a model file; the first one if there are several, and say so."""
    network = load(path, backend)
    if network.population is None:
        return network
    print_message(f"{path} has {network.population} networks: using the first one.")
    return network.member(0)
