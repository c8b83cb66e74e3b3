"""What happens over time: one step, the loop over epochs, and what may watch and stop it."""

from portable_bp.training.callbacks import EarlyStopping
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import History, Training
from portable_bp.training.loop import Data, DivergenceError, Plan, train
from portable_bp.training.step import MeanLoss

__all__ = ["Checkpoint", "Data", "DivergenceError", "EarlyStopping", "History", "MeanLoss", "Plan", "Training", "train"]
