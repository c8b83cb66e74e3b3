"""Networks trained on CSV and Parquet tables, and their predictions: the model file holds a recipe for the columns."""

from portable_bp.tables.files import TABLE_EXTENSIONS, check_output, write_table
from portable_bp.tables.options import TrainingOptions
from portable_bp.tables.predict import load_model, predict_table
from portable_bp.tables.recipe import Recipe
from portable_bp.tables.recipe_json import find_recipe, read_recipe, write_recipe
from portable_bp.tables.targets import TASKS
from portable_bp.tables.train import TrainingResult, train_table

__all__ = [
    "TABLE_EXTENSIONS",
    "TASKS",
    "Recipe",
    "TrainingOptions",
    "TrainingResult",
    "check_output",
    "find_recipe",
    "load_model",
    "predict_table",
    "read_recipe",
    "train_table",
    "write_recipe",
    "write_table",
]
