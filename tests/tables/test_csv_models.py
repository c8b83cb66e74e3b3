"""Models trained on CSV files, and what they predict for others."""

import math

import numpy as np
import polars
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.tables import find_recipe, write_recipe
from portable_bp.tables.csv import ColumnFormat
from tests.support.tables import flowers, skip_without_training_packages, train


def write_rows(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")


def run(tmp_path, capsys, header, rows, new, *more):
    """Train on rows and predict new ones; return what training printed, the predictions, and what predicting printed."""
    write_rows(tmp_path / "data.csv", header, rows)
    model = str(tmp_path / "model.safetensors")
    fixed = ["-o", model, "--hidden", "16", "--learning-rate", "0.01", "--members", "2"]
    assert main(["train", str(tmp_path / "data.csv"), *fixed, *more]) == 0
    printed = capsys.readouterr().out
    write_rows(tmp_path / "new.csv", header, new)
    assert main(["predict", model, str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    return printed, polars.read_csv(tmp_path / "out.csv", infer_schema_length=0), capsys.readouterr().err


def german(number):
    return f"{number:,.1f}".translate(str.maketrans(",.", ".,")).removesuffix(",0")


def test_numbers_with_thousands_separators_are_learned(tmp_path, capsys):
    areas = np.random.default_rng(0).integers(5000, 30_000, 200) / 10
    rows = [f"{german(area)};{german(2 * area)}" for area in areas]
    printed, predicted, message = run(tmp_path, capsys, "area;price", rows, ["1.234;0"], "--target", "price")
    assert float(printed.splitlines()[-1].split()[1]) > 0.98
    assert "Numbers: 'area', 'price'." in printed and "decimal comma" in printed
    assert abs(float(predicted["price"][0]) - 2468) < 100 and not message


def test_marker_in_an_input_and_in_the_target(tmp_path, capsys):
    powers = np.random.default_rng(0).integers(45, 146, 200)
    rows = [f"{hp},{60 - 0.3 * hp:.1f}" for hp in powers]
    rows[7], rows[9] = f"?,{rows[7].partition(',')[2]}", f"{powers[9]},?"
    printed, predicted, message = run(tmp_path, capsys, "hp,mpg", rows, ["45,", "", "145,", "", ""], "--target", "mpg")
    assert "Task: regression" in printed and "Read as missing, like empty cells: 'mpg' ('?' in 1 cell)." in printed
    assert "Column 'hp': missing in 1 of 199 rows ('?' in 1 cell), replaced by the mean." in printed
    assert predicted.height == 2
    np.testing.assert_allclose([float(value) for value in predicted["mpg"]], [46.5, 16.5], atol=2.5)


def test_codes_and_marker_words_can_be_classes(tmp_path, capsys):
    for labels in (("007", "7"), ("NA", "DE"), ("1E3", "10E2"), ("12345678901234567890", "12345678901234567891")):
        rows = [f"{number % 2},{labels[number % 2]}" for number in range(60)]
        printed, predicted, _ = run(tmp_path, capsys, "x,y", rows, ["0,", "1,"], "--target", "y")
        assert "Text: 'y'." in printed and repr(labels[0]) in printed
        assert predicted["y"].to_list() == list(labels)


def test_single_row_is_read_in_the_format_of_training(tmp_path, capsys):
    generator = np.random.default_rng(0)
    sizes, zips = generator.integers(1000, 99_999, 100) / 10, generator.integers(1, 4, 100)
    rows = [
        f"{german(size)};0{code};{'?' if place % 20 == 0 else 7 + code};{size + 1000 * code:.0f}"
        for place, (size, code) in enumerate(zip(sizes, zips, strict=True))
    ]
    header = "size;zip;rooms;price"
    run(tmp_path, capsys, header, rows, ["1.500;01;8;", "1500,0;01;8;", "1500;01;8;"], "--target", "price")
    predicted = polars.read_csv(tmp_path / "out.csv")["price"].to_numpy()
    np.testing.assert_allclose(predicted, predicted[0], rtol=1e-6)  # a BLAS may add up the rows of a batch in different orders

    def predict_alone(row):
        write_rows(tmp_path / "new.csv", header, [row])
        code = main(
            ["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]
        )
        return code, capsys.readouterr().err

    alone = set()
    for row in ("1500,0;01;8;", "1.500;01;8;", "1500;01;8;x"):
        assert predict_alone(row) == (0, "")
        alone.add(polars.read_csv(tmp_path / "out.csv")["price"].item())
    assert len(alone) == 1
    assert alone.pop() == pytest.approx(predicted[0], rel=1e-6)  # a product of one row rounds differently, in float32
    printed = "portable-bp: missing values are replaced by the mean of training: 'rooms' (in 1 of 1 rows).\n"
    assert predict_alone("1.500;01;?;") == (0, printed)
    assert "'rooms' ('n.a.' in 1 cell)" in predict_alone("1.500;01;n.a.;")[1]
    assert "written differently than in training: 'size' ('1500.5' is 1500.5)" in predict_alone("1500.5;01;8;")[1]
    code, message = predict_alone("1.500;01;eight;")
    assert code == 2 and "has 'eight' in column 'rooms', line 2, where training had numbers" in message


@pytest.mark.parametrize("above", ["Houses of 2020\n\n", "# exported\n# by a program\n"])
def test_lines_above_the_header_are_reported(tmp_path, capsys, above):
    skip_without_training_packages()
    rows = [f"{number},{2 * number}.5" for number in range(40)]
    write_rows(tmp_path / "data.csv", f"{above}x,y", rows)
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", str(tmp_path / "model.safetensors"), "--epochs", "1"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"one column, {above.splitlines()[0]!r}: its first line should name the columns; delete any lines above" in error
    write_rows(tmp_path / "data.csv", "x,y", rows)
    assert main(command) == 0
    write_rows(tmp_path / "new.csv", f"{above}x,y", rows)
    assert main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv")]) == 2
    assert capsys.readouterr().err.endswith("does its first line name the columns?\n")


def test_errors_do_not_advise_to_ignore_needed_columns(tmp_path, capsys):
    skip_without_training_packages()
    rows = [f"{number},{number % 7},{2 * number}.5" for number in range(40)]
    model = str(tmp_path / "model.safetensors")
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", model, "--epochs", "1"]
    write_rows(tmp_path / "data.csv", "x,z,y", [f"{row.rpartition(',')[0]},2020-01-1{row[0]}" for row in rows])
    assert main(command) == 2
    assert "'y' (Date); convert them to numbers" in capsys.readouterr().err
    write_rows(tmp_path / "data.csv", "x,z,y", rows)
    assert main(command) == 0
    capsys.readouterr()
    for row, message in {
        "2020-01-01,1": "'x' (Date); convert them to numbers",
        "inf,1": "in 'x': clear those cells.",
    }.items():
        write_rows(tmp_path / "new.csv", "x,z", [row])
        assert main(["predict", model, str(tmp_path / "new.csv")]) == 2
        error = capsys.readouterr().err
        assert message in error and "--ignore" not in error
    write_rows(tmp_path / "new.csv", "x,z,day", ["1,1,2020-01-01"])
    assert main(["predict", model, str(tmp_path / "new.csv")]) == 2
    assert "'day' (Date); leave them out with --ignore 'day'" in capsys.readouterr().err


def test_older_models_still_predict(tmp_path, capsys):
    assert train(tmp_path, flowers(), "species", "--quiet") == 0
    model = bp.load(tmp_path / "model.safetensors", "numpy")
    recipe = find_recipe("model", model)
    assert recipe
    facts = write_recipe(recipe)
    assert recipe.formats == () and ',"readings":[]' in facts
    model.notes["table"] = facts.replace(',"readings":[]', "")
    model.save(tmp_path / "model.safetensors")
    older = find_recipe("model", model)
    assert older and older.formats is None and write_recipe(older) == model.notes["table"]
    (tmp_path / "new.csv").write_text("length,color,fresh\n1.0,NA,true\n1.0,,NA\n")
    assert (
        main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    )
    assert "known ones: a missing value." in capsys.readouterr().err


def test_options_of_training_apply_to_predicting(tmp_path, capsys):
    rows = [f"{number % 4:02},{'none' if number == 5 else number % 4 + 0.5},{number % 4}" for number in range(80)]
    more = ["--target", "y", "--task", "regression", "--numbers", "code", "--missing", "none"]
    printed, predicted, message = run(tmp_path, capsys, "code,x,y", rows, ["03,none,", "3,3.5,"], *more)
    assert "Numbers: 'code', 'x', 'y'." in printed
    assert message == "portable-bp: missing values are replaced by the mean of training: 'x' (in 1 of 2 rows).\n"
    recipe = find_recipe("", bp.load(tmp_path / "model.safetensors", "numpy"))
    assert recipe
    found = {reading.name: reading for reading in recipe.formats or ()}
    assert found["x"] == ColumnFormat("x", "number", missing=("none",))
    assert all(math.isfinite(float(value)) for value in predicted["y"])


def test_ignored_columns_need_not_be_readable(tmp_path, capsys):
    rows = [f"{number if number else '1o'},{number % 2},{number % 2}" for number in range(60)]
    write_rows(tmp_path / "data.csv", "id,x,y", rows)
    command = ["train", str(tmp_path / "data.csv"), "--target", "y", "-o", str(tmp_path / "model.safetensors"), "--epochs", "1"]
    assert main(command) == 2
    assert "has '1o' in column 'id', line 2, where most of the values are numbers" in capsys.readouterr().err
    assert main([*command, "--ignore", "id"]) == 0
    printed = capsys.readouterr().out
    assert "Numbers: 'x', 'y'." in printed and "1o" not in printed


@pytest.mark.parametrize("cells", [["1.500,5", "2.000,0"], ["1500,5", "2000"], ['"1.500,5"', "2000,00"]])
def test_file_of_one_column_is_not_split_at_decimal_commas(tmp_path, capsys, cells):
    sizes = np.random.default_rng(0).integers(1000, 99_999, 100) / 10
    rows = [f"{german(size)};{german(2.0 * size)}" for size in sizes]
    run(tmp_path, capsys, "size;price", rows, ["1500,5;", "2000,0;"], "--target", "price")
    expected = polars.read_csv(tmp_path / "out.csv")["price"].to_list()
    write_rows(tmp_path / "new.csv", "size", cells)
    assert (
        main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]) == 0
    )
    assert polars.read_csv(tmp_path / "out.csv")["price"].to_list() == expected
