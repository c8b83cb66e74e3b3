"""Training: the loop over epochs and batches, the step that it repeats, callbacks and checkpoints."""

from portable_bp.training.callbacks import EarlyStopping
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import History, Training
from portable_bp.training.loop import DivergenceError, train
from portable_bp.training.plot import plot_history
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import MeanLoss

__all__ = [
    "Checkpoint",
    "Dataset",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "MeanLoss",
    "Settings",
    "Training",
    "plot_history",
    "train",
]
