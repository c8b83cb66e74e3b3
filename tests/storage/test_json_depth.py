"""The limit on nesting is the same on every Python, and no deeper file reaches Python's JSON reader."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.storage import json_depth, read_arrays, read_json, write_arrays
from portable_bp.tables import find_recipe
from tests.support.callbacks import Remembering

OPENINGS = {"lists": ("[", "]"), "dicts": ('{"a":', "}"), "both": ('[{"[":', "}]")}


def nested(depth, kind="lists"):
    """Return JSON of a given depth."""
    opening, closing = OPENINGS[kind]
    times = depth // 2 if kind == "both" else depth
    return opening * times + "0" + closing * times


def depth_of(tree):
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if parts is None else 1 + max(map(depth_of, parts), default=0)


@pytest.mark.parametrize("kind", OPENINGS)
@pytest.mark.parametrize("depth", [2, json_depth.MAX_DEPTH, json_depth.MAX_DEPTH + 2, 600, 10**5, 10**6])
def test_the_limit_is_the_same_everywhere(depth, kind):
    text = nested(depth, kind)
    if depth <= json_depth.MAX_DEPTH:
        assert depth_of(read_json(text)) == depth
        return
    for broken in (text, text[:-1], "[" + text):
        with pytest.raises(ValueError, match=r"nested [\d,]+ levels deep, more than 100"):
            read_json(broken)


@hypothesis.given(
    tree=st.recursive(st.none() | st.integers() | st.text('[]{}"\\:, a\u2603'), lambda inner: st.lists(inner) | st.dictionaries(
        st.text('[]{}"\\a'), inner
    )),
    limit=st.integers(0, 4),
    options=st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}]),
)  # fmt: skip
def test_brackets_in_strings_do_not_count(tree, limit, options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_depth, "MAX_DEPTH", limit)
        if depth_of(tree) <= limit:
            assert read_json(json.dumps(tree, **options)) == tree
        else:
            with pytest.raises(ValueError, match=f"nested {depth_of(tree)} levels deep"):
                read_json(json.dumps(tree, **options))


@hypothesis.given(st.text('[]{}"\\:,0 a', max_size=30))
def test_any_text_is_read_as_json_reads_it(text):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            read_json(text)
    else:
        assert read_json(text) == expected


@pytest.mark.parametrize("text", ['"' + '\\"' * 10**6, '"' * 10**6, "\\" * 10**6, "[]" * 10**6, '["' * 10**6])
def test_the_time_is_proportional_to_the_length(text):
    """A scan that restarts at every quote would take hours."""
    with pytest.raises(ValueError):
        read_json(text)


def write_as_a_stranger(path, block):
    """Write a file without arrays whose header facts are any text."""
    safetensors = pytest.importorskip("safetensors.numpy")
    path.write_bytes(safetensors.save({}, {"portable_bp": block}))


@pytest.mark.parametrize("kind", OPENINGS)
@pytest.mark.parametrize("depth", [101, 600, 5000, 10**5])
def test_files_that_are_too_deep_are_refused(tmp_path, depth, kind):
    path = tmp_path / "lie.safetensors"
    for text in (nested(depth + 1, kind), '{"format_version":1,"kind":"model","notes":' + nested(depth, kind) + "}"):
        write_as_a_stranger(path, text)
        with pytest.raises(bp.ModelFileError, match=r"lie.safetensors is damaged, .*nested [\d,]+ levels deep, more than 100"):
            bp.load(path, "numpy")
        write_as_a_stranger(path, text.replace("model", "checkpoint"))
        with pytest.raises(bp.ModelFileError, match="levels deep, more than 100"):
            bp.Network([4, 2], backend="numpy").fit(np.eye(4), np.ones((4, 2)), checkpoint=path, resume=True)


@pytest.mark.parametrize("depth", [101, 600, 10**5])
def test_a_recipe_that_is_too_deep_is_refused(depth):
    network = bp.Network([2, 1], backend="numpy", seed=0)
    network.notes["table"] = nested(depth)
    with pytest.raises(bp.ModelFileError, match="an invalid recipe for tables: .*more than 100"):
        find_recipe("model", network)


def lists(depth):
    tree = []
    for _ in range(depth - 1):
        tree = [tree]
    return tree


def test_what_is_written_can_be_read(tmp_path):
    pytest.importorskip("safetensors")
    for depth in range(1, json_depth.MAX_DEPTH + 30):
        if depth < json_depth.MAX_DEPTH:  # a file's facts are a dict themselves
            write_arrays(tmp_path / "file", "model", {}, {"it": lists(depth)})
            assert read_arrays(tmp_path / "file", "model").facts["it"] == lists(depth)
        else:
            with pytest.raises(ValueError, match=f"file cannot be written: .*nested {depth + 1} levels deep, more than 100"):
                write_arrays(tmp_path / "file", "model", {}, {"it": lists(depth)})


def test_training_with_a_checkpoint_that_would_be_too_deep_does_not_start(tmp_path):
    """With a state of the greatest depth that can be written, training continues."""

    def fit(state, epochs):
        network = bp.Network([4, 2], backend="numpy", seed=0)
        callback = Remembering(state)
        path = tmp_path / "run"
        network.fit(np.eye(4), np.ones((4, 2)), epochs=epochs, callbacks=[callback], checkpoint=path, resume=True)
        return callback.state

    around = []
    around.append(around)
    for state in (lists(98), lists(10**3), lists(10**5), around):
        with pytest.raises(ValueError, match="100"):
            fit(state, 1)
        assert not (tmp_path / "run").exists()
    assert fit(lists(97), 1) == fit([], 2) == lists(97)
