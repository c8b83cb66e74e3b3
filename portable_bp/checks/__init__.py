"""Check the data and weights that a user gives, and move them to the backend, before anything changes."""

from portable_bp.checks.bounds import check_bounds, refuse_nonfinite, warn_of_bounds
from portable_bp.checks.conversion import as_array
from portable_bp.checks.data import DataChecker, split_validation
from portable_bp.checks.own_pieces import check_activation, check_loss, check_optimizer
from portable_bp.checks.seeds import as_generators
from portable_bp.checks.weights import check_same, check_weights

__all__ = [
    "DataChecker",
    "as_array",
    "as_generators",
    "check_activation",
    "check_bounds",
    "check_loss",
    "check_optimizer",
    "check_same",
    "check_weights",
    "refuse_nonfinite",
    "split_validation",
    "warn_of_bounds",
]
