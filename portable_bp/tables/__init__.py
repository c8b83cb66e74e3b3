"""Networks trained on tables and predicting them: CSV and Parquet files in, model files with a recipe of the columns out."""

from portable_bp.tables.files import TABLES, check_output, write_table
from portable_bp.tables.notes import find_recipe, read_recipe, write_recipe
from portable_bp.tables.predictor import predict_table
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.settings import Settings
from portable_bp.tables.targets import TASKS
from portable_bp.tables.trainer import Outcome, train_table

__all__ = [
    "TABLES",
    "TASKS",
    "Outcome",
    "Recipe",
    "Settings",
    "check_output",
    "find_recipe",
    "predict_table",
    "read_recipe",
    "train_table",
    "write_recipe",
    "write_table",
]
