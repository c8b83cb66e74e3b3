"""Training: the loop over epochs and batches, the step that it repeats, callbacks and checkpoints."""

from portable_bp.training.callbacks import EarlyStopping
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import History, Training
from portable_bp.training.loop import DivergenceError, train
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import MeanLoss

Data, Plan = Dataset, Settings

__all__ = [
    "Checkpoint",
    "Data",
    "Dataset",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "MeanLoss",
    "Plan",
    "Settings",
    "Training",
    "train",
]
