import pytest
import torch
from safetensors.torch import load_file, save_file

from drrx.diffusion.weights import read_weights, write_weights
from drrx.errors import DrrxError


@pytest.fixture
def path(tmp_path):
    write_weights(
        tmp_path / "w.safetensors", {"a": torch.arange(6.0), "b": torch.ones(2, 3).half()}, {"kind": "x", "n": 1}
    )
    return tmp_path / "w.safetensors"


def test_weights_come_back_as_they_went(path):
    weights = read_weights(path, "x")
    assert weights.config == {"kind": "x", "n": 1}
    assert torch.equal(weights.tensors["a"], torch.arange(6.0))
    assert weights.tensors["b"].dtype == torch.float16


def test_one_changed_number_is_refused(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as stream:
        metadata = stream.metadata()
    tensors = load_file(path)
    tensors["a"][3] += 1e-3
    save_file(tensors, path, metadata)
    with pytest.raises(DrrxError, match=r"w.safetensors: found content hash .*; needed hash .* as in its header"):
        read_weights(path, "x")


def test_a_cut_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DrrxError, match="needed a safetensors file written by drrx"):
        read_weights(path, "x")


def test_foreign_and_missing_and_pickled_files_are_refused(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DrrxError, match="found format None; needed format 'drrx-weights-1'"):
        read_weights(tmp_path / "foreign.safetensors", "x")
    torch.save({"a": torch.ones(2)}, tmp_path / "pickle.pt")
    for name in ("pickle.pt", "none.safetensors"):
        with pytest.raises(DrrxError, match="needed a safetensors file written by drrx"):
            read_weights(tmp_path / name, "x")


def test_another_kind_is_refused(path):
    with pytest.raises(DrrxError, match="found weights of kind 'x'; needed kind 'ddpm_hq'"):
        read_weights(path, "ddpm_hq")
