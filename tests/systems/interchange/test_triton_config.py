"""Triton's configuration: what is written is read back, and by Triton's own definition where that is installed."""

import importlib.util
from dataclasses import replace

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.errors import BundleError
from cxrscreen.systems.interchange.triton_config import FP32, TritonConfig, read_config, write_config

CONFIG = TritonConfig("cascade_lungs", 8, ("image", (1, 256, 256)), {"logits": (1, 256, 256)}, 2000, {"licence": "CC0"})
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
shapes = st.lists(st.integers(1, 2**40), max_size=4).map(tuple)
configs = st.builds(
    TritonConfig,
    name=words,
    max_batch=st.integers(0, 2**31 - 1),
    image=st.tuples(words, shapes),
    outputs=st.dictionaries(words, shapes, max_size=3),
    delay=st.integers(0, 2**63),
    parameters=st.dictionaries(words, words, max_size=3),
)


@given(configs)
def test_what_is_written_is_read_back(config):
    assert read_config(write_config(config)) == config


@given(st.text(max_size=40))
def test_other_text_is_one_sentence(text):
    with pytest.raises(BundleError, match=r"config.pbtxt of the export (is not what Triton reads|names another)"):
        read_config(text)


@pytest.mark.parametrize(
    "change", [('backend: "onnxruntime"', 'backend: "python"'), (FP32, "TYPE_INVALID"), ("max_batch", "max_bach")]
)
def test_another_backend_type_or_field_is_refused(change):
    with pytest.raises(BundleError, match=r"config.pbtxt"):
        read_config(write_config(CONFIG).replace(*change))


def test_tritons_own_definition_reads_it():
    found = importlib.util.find_spec("tritonclient")
    if found is None:
        pytest.skip("tritonclient is not installed")
    # Only this module: the package beside it wants gRPC.
    file = f"{found.submodule_search_locations[0]}/grpc/model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    message = text_format.Parse(write_config(replace(CONFIG, parameters={"said": 'a "word"\n'})), module.ModelConfig())
    assert (message.name, message.backend, message.max_batch_size) == ("cascade_lungs", "onnxruntime", 8)
    assert list(message.input[0].dims) == [1, 256, 256]
    assert message.input[0].data_type == module.DataType.Value(FP32)
    assert message.output[0].name == "logits"
    assert message.dynamic_batching.max_queue_delay_microseconds == 2000
    assert message.parameters["said"].string_value == 'a "word"\n'
