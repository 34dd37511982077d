"""The door for weights: safetensors with the network's configuration inside, known by hash, never pickle."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from drrx.diffusion.registry import WeightsRefused, read_known, write_record
from drrx.io.files import sha256_file, write_whole

FORMAT = "drrx-weights-1"
MAX_HEADER_BYTES = 16 * 2**20
MAX_SIZE, MAX_LENGTH = 8192, 64
"""Of any number, and of any list and layer count, in a network's configuration. The largest delivered one has 192
channels and 4 grids; without bounds a file of some bytes could ask for all memory."""
_TYPES = (torch.float32, torch.float16, torch.bfloat16)
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Weights:
    """Tensors by name, their configuration (JSON values) and the SHA-256 of both together."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    sha256: str


def hash_weights(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of names, types, shapes, bytes and configuration."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_weights(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """Write weights whole, with configuration and hash in the header; return the hash.

    ``<name>.sha256`` beside them has the SHA-256 of the file. It comes first: weights under their final name are known.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sha256 = hash_weights(kept, config)
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True), "sha256": sha256}
    with write_whole(path) as temporary:
        save_file(kept, temporary, metadata=metadata)
        write_record(path, sha256_file(temporary))
    return sha256


def read_weights(path: Path, kind: str) -> Weights:
    """Read weights of one kind (``config["kind"]``).

    Raises
    ------
    WeightsRefused
        No file, or not one that is known by its hash (``drrx.diffusion.registry``); not safetensors, another program's,
        with values that are not finite, or of another kind.
    """
    data = read_known(path)
    metadata = _read_metadata(path, data)
    config = _read_config(path, metadata)
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        _refuse(path, str(error).splitlines()[0], "a whole safetensors file")
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES or not torch.isfinite(tensor).all():
            _refuse(path, f"values of {name[:80]} that are not finite, or {tensor.dtype}", "finite float values")
    sha256 = hash_weights(tensors, config)
    if sha256 != metadata.get("sha256"):
        _refuse(path, f"content hash {sha256[:12]}", f"hash {str(metadata.get('sha256'))[:12]} as in its header")
    if config.get("kind") != kind:
        found = f"weights of kind {str(config.get('kind'))[:40]!r}"
        raise WeightsRefused("MODEL_KIND", path, found, f"kind {kind!r}")
    return Weights(tensors, config, sha256)


def _read_metadata(path: Path, data: bytes) -> dict[str, Any]:
    """Return the header's ``__metadata__``; its length is looked at before it is parsed."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        found = f"a header of {length} bytes in a file of {len(data)}"
        _refuse(path, found, f"a safetensors file written by drrx, with a header of at most {MAX_HEADER_BYTES} bytes")
    header = _parse(path, data[8 : 8 + length], "a safetensors file written by drrx")
    metadata = header.get("__metadata__")
    known: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    if known.get("format") != FORMAT:
        _refuse(path, f"format {known.get('format')!r}"[:80], f"format {FORMAT!r}")
    return known


def _read_config(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    config = _parse(path, metadata.get("config"), "the configuration that drrx wrote")
    for name, value in config.get("network", {}).items() if isinstance(config.get("network", {}), dict) else ():
        sizes = value if isinstance(value, list) else [value]
        highest = MAX_LENGTH if name == "blocks" else MAX_SIZE
        numbers = [size for size in sizes if isinstance(size, (int, float))]
        if len(sizes) > MAX_LENGTH or len(numbers) < len(sizes) or any(not 0 <= n <= highest for n in numbers):
            found = f"a network with {name[:40]} {str(value)[:60]}"
            raise WeightsRefused("TOO_LARGE", path, found, f"at most {MAX_LENGTH} numbers of 0 to {highest}")
    return config


def _parse(path: Path, text: Any, needed: str) -> dict[str, Any]:
    def stop(word: str) -> NoReturn:
        raise ValueError(f"the value {word}")

    try:
        parsed = json.loads(text, parse_constant=stop)
    except (ValueError, TypeError, RecursionError) as error:
        _refuse(path, f"no JSON in its header ({str(error)[:80]})", needed)
    if not isinstance(parsed, dict):
        _refuse(path, f"a {type(parsed).__name__} in its header", needed)
    return dict(parsed)


def fill_network(make: type[Network], sizes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    """Return a network of these sizes with these weights, float32. It is laid out without memory first.

    Raises
    ------
    ValueError, TypeError, KeyError, RuntimeError
        Of other sizes than the weights; see ``refuse_other_layers``.
    """
    with torch.device("meta"):
        plan = {name: tuple(value.shape) for name, value in make(**sizes).state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    other = sorted(name for name in plan.keys() | given.keys() if plan.get(name) != given.get(name))
    if other:
        name = other[0]
        raise ValueError(f"{name}: {given.get(name, 'absent')} in the file, {plan.get(name, 'absent')} in its network")
    network = make(**sizes)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network


@contextlib.contextmanager
def refuse_other_layers(path: Path) -> Iterator[None]:
    """Around the making of a network from weights: say it in words when they are of another network's layers."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        found = f"another network ({str(error).splitlines()[0][:200]})"
        needed, hint = "the layers of this version of drrx", "Train anew, or use the delivered weights."
        raise WeightsRefused("MODEL_KIND", path, found, needed, hint) from error


def _refuse(path: Path, found: str, needed: str) -> NoReturn:
    raise WeightsRefused("MODEL_FORMAT", path, found, needed)
