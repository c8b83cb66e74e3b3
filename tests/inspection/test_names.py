"""Layers and weights are named as the article names them, also beyond layer z."""

from portable_bp.inspection.names import layer_letter, weight_name


def test_layers_continue_after_z():
    assert [layer_letter(number) for number in (0, 1, 25, 26, 27, 52)] == ["a", "b", "z", "aa", "ab", "ba"]


def test_weights_are_numbered_along_the_rows():
    assert weight_name("b", 0, 1, fan_in=2) == "w_b2"
    assert weight_name("b", 1, 0, fan_in=2) == "w_b3"
