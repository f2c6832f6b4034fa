"""Triton's ``config.pbtxt``, written and read in protobuf's text format, so that what is unknown or mistyped is found.

The messages are the part of Triton's ``model_config.proto`` (github.com/triton-inference-server/common) that an export
needs, with its names, numbers and types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format  # type: ignore[import-untyped]

from cxrscreen.errors import BundleError

FP32 = "TYPE_FP32"
BACKEND = "onnxruntime"

_PACKAGE = "cxrscreen.triton"
# Name, number, type or message, and whether it is repeated.
_MESSAGES: Mapping[str, tuple[tuple[str, int, str, bool], ...]] = {
    "ModelParameter": (("string_value", 1, "string", False),),
    "ModelInput": (("name", 1, "string", False), ("data_type", 2, "DataType", False), ("dims", 4, "int64", True)),
    "ModelOutput": (("name", 1, "string", False), ("data_type", 2, "DataType", False), ("dims", 3, "int64", True)),
    "ModelDynamicBatching": (
        ("preferred_batch_size", 1, "int32", True),
        ("max_queue_delay_microseconds", 2, "uint64", False),
    ),
    "ParametersEntry": (("key", 1, "string", False), ("value", 2, "ModelParameter", False)),
    "ModelConfig": (
        ("name", 1, "string", False),
        ("max_batch_size", 4, "int32", False),
        ("input", 5, "ModelInput", True),
        ("output", 6, "ModelOutput", True),
        ("dynamic_batching", 11, "ModelDynamicBatching", False),
        ("parameters", 14, "ParametersEntry", True),
        ("backend", 17, "string", False),
    ),
}
_DATA_TYPES = {"TYPE_INVALID": 0, FP32: 11}


@dataclass(frozen=True)
class TritonConfig:
    """The settings of one model.

    Parameters
    ----------
    name
        Of the model and its folder.
    max_batch
        Largest number of images of one call of the network.
    image
        Name and shape of its input, without the images' axis.
    outputs
        Shapes of its outputs by name, without the images' axis.
    delay
        Microseconds that a call waits for others to share a batch with.
    parameters
        What else is said of the model.
    """

    name: str
    max_batch: int
    image: tuple[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    delay: int
    parameters: Mapping[str, str] = field(default_factory=dict)


def write_config(config: TritonConfig) -> str:
    """Give the text of ``config.pbtxt``; all tensors are float32."""
    message = _config_message()
    message.name, message.backend, message.max_batch_size = config.name, BACKEND, config.max_batch
    name, shape = config.image
    message.input.add(name=name, data_type=_DATA_TYPES[FP32], dims=shape)
    for name, shape in config.outputs.items():
        message.output.add(name=name, data_type=_DATA_TYPES[FP32], dims=shape)
    message.dynamic_batching.max_queue_delay_microseconds = config.delay
    for key in sorted(config.parameters):
        message.parameters.add(key=key).value.string_value = config.parameters[key]
    text: str = text_format.MessageToString(message, as_utf8=True)
    return text


def read_config(text: str) -> TritonConfig:
    """Read what :func:`write_config` wrote.

    Raises
    ------
    BundleError
        If the text is no such configuration.
    """
    message = _config_message()
    try:
        text_format.Parse(text, message)
        (image,) = message.input
    except (text_format.ParseError, ValueError) as fault:
        raise BundleError("A config.pbtxt of the export is not what Triton reads: export it again.") from fault
    tensors = (image, *message.output)
    if message.backend != BACKEND or any(tensor.data_type != _DATA_TYPES[FP32] for tensor in tensors):
        raise BundleError("A config.pbtxt of the export names another backend or type: export it again.")
    return TritonConfig(
        name=message.name,
        max_batch=message.max_batch_size,
        image=(image.name, tuple(image.dims)),
        outputs={output.name: tuple(output.dims) for output in message.output},
        delay=message.dynamic_batching.max_queue_delay_microseconds,
        parameters={entry.key: entry.value.string_value for entry in message.parameters},
    )


def _config_message() -> Any:
    return _message_class()()


@cache
def _message_class() -> Any:
    """Build the class of ``ModelConfig`` from the table above; a map is written as its entries."""
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kinds.TYPE_STRING, "int32": kinds.TYPE_INT32, "int64": kinds.TYPE_INT64}
    scalars["uint64"] = kinds.TYPE_UINT64
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    values = file.enum_type.add(name="DataType")
    for name, number in _DATA_TYPES.items():
        values.value.add(name=name, number=number)
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            entry = described.field.add(name=name, number=number)
            entry.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in scalars:
                entry.type = scalars[kind]
            else:
                entry.type = kinds.TYPE_ENUM if kind == "DataType" else kinds.TYPE_MESSAGE
                entry.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelConfig"))
