"""What happens over time: one step, the loop over epochs, and what may watch and stop it."""

from portable_bp.training.callbacks import EarlyStopping
from portable_bp.training.history import History, Training
from portable_bp.training.loop import Data, DivergenceError, Plan, train

__all__ = ["Data", "DivergenceError", "EarlyStopping", "History", "Plan", "Training", "train"]
