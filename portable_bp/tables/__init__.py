"""Networks trained on tables and predicting them: CSV and Parquet files in, model files with a recipe of the columns out."""
