"""The door for weights: safetensors with the network's configuration inside, never pickle."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from drrx.errors import DrrxError
from drrx.io.files import write_whole

FORMAT = "drrx-weights-1"


@dataclass(frozen=True)
class Weights:
    """Tensors by name, their configuration (JSON values) and the SHA-256 of both together."""

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    sha256: str


def hash_weights(tensors: dict[str, Tensor], config: dict[str, Any]) -> str:
    """Return the SHA-256 of names, types, shapes, bytes and configuration."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_weights(path: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> str:
    """Write weights whole, with configuration and hash in the header; return the hash."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sha256 = hash_weights(kept, config)
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True), "sha256": sha256}
    with write_whole(path) as temporary:
        save_file(kept, temporary, metadata=metadata)
    return sha256


def read_weights(path: Path, kind: str) -> Weights:
    """Read weights of one kind (``config["kind"]``).

    Raises
    ------
    DrrxError
        No file, not safetensors, another program's, changed after writing, or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _refuse(path, str(error), "a safetensors file written by drrx") from error
    if metadata.get("format") != FORMAT:
        raise _refuse(path, f"format {metadata.get('format')!r}", f"format {FORMAT!r}")
    config = json.loads(metadata["config"])
    sha256 = hash_weights(tensors, config)
    if sha256 != metadata.get("sha256"):
        raise _refuse(path, f"content hash {sha256[:12]}", f"hash {metadata.get('sha256', '')[:12]} as in its header")
    if config.get("kind") != kind:
        raise _refuse(path, f"weights of kind {config.get('kind')!r}", f"kind {kind!r}")
    return Weights(tensors, config, sha256)


@contextlib.contextmanager
def refuse_other_layers(path: Path) -> Iterator[None]:
    """Around the making of a network from weights: say it in words when they are of another network's layers."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DrrxError(
            where=str(path), found=f"another network ({str(error).splitlines()[0]})",
            needed="the layers of this version of drrx", hint="Train anew, or use the delivered weights.",
        ) from error  # fmt: skip


def _refuse(path: Path, found: str, needed: str) -> DrrxError:
    return DrrxError(
        where=str(path), found=found, needed=needed,
        hint="Fetch the file again, train anew, or leave --weights out to use the delivered ones.",
    )  # fmt: skip
