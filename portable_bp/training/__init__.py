"""Training: the loop over epochs and batches, the step that it repeats, callbacks and checkpoints."""

from portable_bp.training.callbacks import EarlyStopping
from portable_bp.training.checkpoints import Checkpoint
from portable_bp.training.history import History, Training
from portable_bp.training.loop import DivergenceError
from portable_bp.training.plot import plot_history, plot_members
from portable_bp.training.population_history import PopulationHistory
from portable_bp.training.settings import Dataset, Settings
from portable_bp.training.step import MeanLoss
from portable_bp.training.train import train

__all__ = [
    "Checkpoint",
    "Dataset",
    "DivergenceError",
    "EarlyStopping",
    "History",
    "MeanLoss",
    "PopulationHistory",
    "Settings",
    "Training",
    "plot_history",
    "plot_members",
    "train",
]
