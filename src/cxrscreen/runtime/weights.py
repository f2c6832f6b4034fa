"""A network's weights in one safetensors file, read by torch, by NumPy and by the ONNX graphs that point into it.

safetensors layout (https://github.com/huggingface/safetensors#format): 8 bytes little-endian header length, a JSON
header with each tensor's dtype, shape and byte range, then the tensors. An ONNX initialiser with external data names a
file, an offset and a length, so it can point at a tensor in that file, and nothing is stored twice.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cxrscreen.errors import BundleError

HEADER_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Span:
    """Where one tensor lies in a safetensors file.

    Parameters
    ----------
    dtype
        ``"F16"`` or ``"F32"``, as safetensors names it.
    shape
        The tensor's shape.
    offset
        Bytes from the start of the file.
    length
        Bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def write_weights(tensors: Mapping[str, NDArray[np.floating]], path: Path) -> None:
    """Write float tensors: kernels and matrices as float16, vectors as float32.

    Vectors (biases and the four vectors of a batch normalisation) are 2% of the numbers; a running variance can leave
    float16's range in both directions, so they keep float32.

    Parameters
    ----------
    tensors
        Arrays by state_dict name.
    path
        The file to write; its folder is made where it is missing.

    Raises
    ------
    BundleError
        If a kernel has a value that float16 cannot hold.
    """
    stored: dict[str, NDArray[np.floating]] = {}
    for name, values in tensors.items():
        if values.ndim > 1 and not np.abs(values).max(initial=0) <= np.finfo(np.float16).max:
            raise BundleError(
                f"The weights {name} hold a value that float16 cannot store: train again from a sane state."
            )
        stored[name] = np.ascontiguousarray(values, dtype=np.float16 if values.ndim > 1 else np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(stored))


class Weights(Mapping[str, NDArray[np.float32]]):
    """Tensors of a safetensors file by name, read as float32 when asked for.

    Parameters
    ----------
    path
        A safetensors file.
    digest
        The SHA-256 that the file must have, or None where any file will do.

    Raises
    ------
    BundleError
        If the file is missing, truncated, not a safetensors file or another one than the digest's.
    """

    def __init__(self, path: Path, digest: str | None = None) -> None:
        if not path.is_file():
            raise BundleError(f"The weights {path} are missing: put the complete model bundle there.")
        try:
            with safe_open(path, framework="numpy") as file:
                self._names = frozenset(file.keys())
        except (SafetensorError, OSError) as fault:
            raise BundleError(f"The weights {path} are damaged: copy the model bundle again.") from fault
        if digest is not None and digest != sha256(path):
            raise BundleError(f"The weights {path} are not those of its graph: copy the model bundle again.")
        self.path = path

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self.path, framework="numpy") as file:
            values: NDArray[np.float32] = file.get_tensor(name).astype(np.float32)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_spans(path: Path) -> dict[str, Span]:
    """Byte ranges of the tensors of a safetensors file, by name.

    Parameters
    ----------
    path
        A safetensors file.

    Returns
    -------
    dict
        A :class:`Span` for each tensor.
    """
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        header = json.loads(file.read(header_length))
    header.pop("__metadata__", None)
    first = HEADER_LENGTH_BYTES + header_length
    return {
        name: Span(
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            offset=first + entry["data_offsets"][0],
            length=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }
