import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cxrscreen.errors import BundleError
from cxrscreen.runtime.weights import Weights, sha256, tensor_spans, write_weights

VALUES = st.floats(-6e4, 6e4, width=16)
TENSORS = st.dictionaries(
    st.text("abc.1", min_size=1, max_size=8),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=VALUES),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(tensors=TENSORS)
def test_what_is_written_is_read_and_lies_where_the_spans_say(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("weights") / "a.safetensors"
    write_weights(tensors, path)
    weights, spans, raw = Weights(path), tensor_spans(path), path.read_bytes()
    assert set(weights) == set(spans) == set(tensors)
    for name, values in tensors.items():
        assert weights[name].dtype == np.float32
        np.testing.assert_array_equal(weights[name], values)
        span = spans[name]
        dtype = {"F16": "<f2", "F32": "<f4"}[span.dtype]
        assert span.dtype == ("F16" if values.ndim > 1 else "F32")
        found = np.frombuffer(raw[span.offset : span.offset + span.length], dtype).reshape(span.shape)
        np.testing.assert_array_equal(found, values)


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    one, two = {"a": np.ones((2, 2)), "b": np.zeros(3)}, {"b": np.zeros(3), "a": np.ones((2, 2))}
    write_weights(one, tmp_path / "1")
    write_weights(two, tmp_path / "2")
    assert sha256(tmp_path / "1") == sha256(tmp_path / "2")


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_a_kernel_that_float16_cannot_hold_is_refused(tmp_path, value):
    with pytest.raises(BundleError, match=r"conv\.weight"):
        write_weights({"conv.weight": np.full((2, 2), value)}, tmp_path / "a.safetensors")


def test_a_vector_keeps_what_float16_would_lose(tmp_path):
    variances = np.array([1e-9, 1e6], np.float32)
    write_weights({"running_var": variances}, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(Weights(tmp_path / "a.safetensors")["running_var"], variances)


def test_missing_damaged_and_foreign_files_are_told_apart(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(BundleError, match="missing"):
        Weights(path)
    write_weights({"a": np.ones((8, 8))}, path)
    raw = path.read_bytes()
    for damaged in (b"", raw[:5], raw[:-1], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match="damaged"):
            Weights(path)
    path.write_bytes(raw)
    with pytest.raises(BundleError, match="not those of its graph"):
        Weights(path, digest="0" * 64)
    with pytest.raises(KeyError):
        Weights(path)["b"]
