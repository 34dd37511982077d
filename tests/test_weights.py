"""Weights: what is opened, and that nothing else is."""

import json
import random
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from drrx.degrader.munit_lq import load_munit_lq
from drrx.diffusion.registry import LIST, WeightsRefused, check_known, read_delivered, record_beside, write_record
from drrx.diffusion.weights import FORMAT, hash_weights, read_weights, write_weights
from drrx.errors import DrrxError
from drrx.io.files import sha256_file
from drrx.restorer.model import DELIVERED, KIND, load_restorer


@pytest.fixture
def path(tmp_path):
    write_weights(
        tmp_path / "w.safetensors", {"a": torch.arange(6.0), "b": torch.ones(2, 3).half()}, {"kind": "x", "n": 1}
    )
    return tmp_path / "w.safetensors"


def code_of(path, kind="x"):
    with pytest.raises(WeightsRefused) as caught:
        read_weights(path, kind)
    assert f"({caught.value.code}); needed" in str(caught.value)
    return caught.value.code


def record(path):
    """Say that these bytes are known, so that what comes after the hash is looked at."""
    write_record(path, sha256_file(path))
    return path


def write_raw(path, header, body=b""):
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return record(path)


def write_config(path, config, tensors=None, **metadata):
    """A whole file of drrx with any configuration, as text or value."""
    tensors = tensors or {"a": torch.ones(2)}
    text = config if isinstance(config, str) else json.dumps(config, sort_keys=True)
    known = "" if isinstance(config, str) else hash_weights(tensors, config)
    save_file(tensors, path, {"format": FORMAT, "config": text, "sha256": known} | metadata)
    return record(path)


def test_weights_come_back_as_they_went(path):
    weights = read_weights(path, "x")
    assert weights.config == {"kind": "x", "n": 1}
    assert torch.equal(weights.tensors["a"], torch.arange(6.0))
    assert weights.tensors["b"].dtype == torch.float16


def test_the_record_beside_is_what_sha256sum_reads(path):
    assert record_beside(path).read_text() == f"{sha256_file(path)}  w.safetensors\n"
    said = subprocess.run(["sha256sum", "-c", "w.safetensors.sha256"], cwd=path.parent, capture_output=True, check=True)
    assert b"w.safetensors: OK" in said.stdout


def test_the_delivered_weights_are_those_of_the_list():
    files = sorted(LIST.parent.rglob("*.safetensors"))
    assert {file.relative_to(LIST.parent).as_posix(): sha256_file(file) for file in files} == read_delivered()
    assert len(files) == 3
    assert check_known(DELIVERED) == sha256_file(DELIVERED)


def test_a_copy_of_delivered_weights_needs_no_record(tmp_path):
    (tmp_path / "copy.safetensors").write_bytes(DELIVERED.read_bytes())
    assert read_weights(tmp_path / "copy.safetensors", KIND).sha256 == load_restorer().sha256


def test_a_file_in_the_package_must_be_listed_whatever_lies_beside_it(path, monkeypatch):
    monkeypatch.setattr("drrx.diffusion.registry.LIST", path.parent / "weights.sha256")
    with pytest.raises(WeightsRefused, match=r"needed a file listed in weights\.sha256 of drrx"):
        read_weights(path, "x")


def test_weights_without_a_record_are_refused_with_the_way_out(path):
    record_beside(path).unlink()
    with pytest.raises(WeightsRefused, match=r"no SHA-256 in w\.safetensors\.sha256.*`sha256sum w\.safetensors > w\."):
        read_weights(path, "x")
    for text in (b"", b"\xff\xfe", b"0" * 63, b"none  w.safetensors\n"):
        record_beside(path).write_bytes(text)
        assert code_of(path) == "MODEL_HASH"


def test_content_that_was_changed_with_its_own_hash_is_refused(path):
    """Who changes the numbers can change the hash in the header too."""
    tensors = load_file(path)
    tensors["a"][3] += 1e-3
    config = {"kind": "x", "n": 1}
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True)}
    save_file(tensors, path, metadata | {"sha256": hash_weights(tensors, config)})
    assert code_of(path) == "MODEL_HASH"
    assert torch.equal(read_weights(record(path), "x").tensors["a"], tensors["a"])
    save_file(tensors, path, metadata | {"sha256": "0" * 64})
    record(path)
    with pytest.raises(WeightsRefused, match=r"w.safetensors: found content hash .*; needed hash 0+ as in its header"):
        read_weights(path, "x")


def test_a_flipped_bit_anywhere_is_refused(path):
    whole, draw = bytearray(path.read_bytes()), random.Random(0)
    places = {0, 7, 8, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(50))}
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        assert code_of(path) == "MODEL_HASH"


def test_flipped_bits_of_delivered_weights_never_load(tmp_path):
    """The same with a record of the broken file: what is wrong inside is told, and nothing but that is raised."""
    whole, draw = DELIVERED.read_bytes(), random.Random(1)
    header = 8 + int.from_bytes(whole[:8], "little")
    file, refused = tmp_path / "w.safetensors", 0
    for place in [draw.randrange(header) for _ in range(50)] + [draw.randrange(len(whole)) for _ in range(4)]:
        broken = bytearray(whole)
        broken[place] ^= 1 << draw.randrange(8)
        file.write_bytes(broken)
        record(file)
        with pytest.raises(WeightsRefused):
            load_restorer(file)
        refused += 1
    assert refused == 54


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -5])
def test_a_cut_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    assert code_of(path) == "MODEL_HASH"
    assert code_of(record(path)) == "MODEL_FORMAT"


def test_a_file_that_is_too_long_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    assert code_of(record(path)) == "MODEL_FORMAT"


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_under_the_name_of_weights_runs_nothing(tmp_path, zipped):
    file, marker = tmp_path / "w.safetensors", tmp_path / "ran"
    torch.save({"a": Evil(marker)}, file, _use_new_zipfile_serialization=zipped)
    assert code_of(file) == "MODEL_HASH"
    assert code_of(record(file)) == "MODEL_FORMAT"
    assert not marker.exists()


def test_foreign_and_missing_files_are_refused(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    record(tmp_path / "foreign.safetensors")
    with pytest.raises(DrrxError, match=r"found format None .*; needed format 'drrx-weights-1'"):
        read_weights(tmp_path / "foreign.safetensors", "x")
    for name in (".", "none.safetensors"):
        assert code_of(tmp_path / name) == "MODEL_FORMAT"


def test_bombs_in_the_header_are_refused_in_little_time_and_memory(tmp_path):
    file = tmp_path / "w.safetensors"
    file.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert code_of(record(file)) == "MODEL_FORMAT"
    for header in (
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[]",
        b"\xff{}",
        b'{"__metadata__": 3}',
        b"{" + b" " * 17 * 2**20,
    ):
        assert code_of(write_raw(file, header)) == "MODEL_FORMAT"
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = {"__metadata__": {"format": FORMAT, "config": '{"kind": "x"}', "sha256": ""}, "a": entry}
    assert code_of(write_raw(file, json.dumps(header).encode())) == "MODEL_FORMAT"


@pytest.mark.parametrize("config", ["{", "[]", '{"kind": NaN}', "[" * 9999, '"x"', "3"])
def test_a_broken_configuration_is_refused(tmp_path, config):
    assert code_of(write_config(tmp_path / "w.safetensors", config)) == "MODEL_FORMAT"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    file = write_config(tmp_path / "w.safetensors", {"kind": "x"}, {"a": torch.tensor([1.0, value])})
    with pytest.raises(WeightsRefused, match="found values of a that are not finite"):
        read_weights(file, "x")
    file = write_config(tmp_path / "w.safetensors", {"kind": "x"}, {"a": torch.arange(3)})
    assert code_of(file) == "MODEL_FORMAT"


def test_another_kind_is_refused(path):
    with pytest.raises(WeightsRefused, match=r"found weights of kind 'x' \(MODEL_KIND\); needed kind 'ddpm_hq'"):
        read_weights(path, "ddpm_hq")


ABSURD = {
    "widths": [10**9, 10**9], "embedding": 10**12, "refine": 1e308, "blocks": [10**9] * 4, "guided": {"a": 1},
}  # fmt: skip


@pytest.mark.parametrize("key", ABSURD)
def test_an_absurd_network_is_refused_before_it_takes_memory(tmp_path, key):
    weights = read_weights(DELIVERED, KIND)
    config = weights.config | {"network": weights.config["network"] | {key: ABSURD[key]}}
    file = tmp_path / "w.safetensors"
    write_weights(file, weights.tensors, config)
    assert code_of(file, KIND) == "TOO_LARGE"


def test_a_network_larger_than_its_file_takes_no_memory(tmp_path):
    """Within the bounds of each number it would be 8192 channels wide: 180 GB. So it must end in a small process."""
    weights = read_weights(DELIVERED, KIND)
    network = weights.config["network"] | {"widths": [8192] * 4, "embedding": 8192}
    write_weights(tmp_path / "w.safetensors", weights.tensors, weights.config | {"network": network})
    code = (
        "import resource, sys, pathlib\nfrom drrx.restorer.model import load_restorer\n"
        "from drrx.diffusion.registry import WeightsRefused\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (3 * 10**9,) * 2)\n"
        "try:\n    load_restorer(pathlib.Path(sys.argv[1]))\nexcept WeightsRefused as error:\n    print(error.code)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w.safetensors")], capture_output=True, text=True, check=False
    )
    assert said.stdout == "MODEL_KIND\n", said.stderr


def test_missing_parts_of_the_configuration_are_told(tmp_path):
    weights = read_weights(DELIVERED, KIND)
    for key in ("network", "deviations", "snr_shift"):
        config = {name: value for name, value in weights.config.items() if name != key}
        write_weights(tmp_path / "w.safetensors", weights.tensors, config)
        with pytest.raises(WeightsRefused, match=r"found another network .*MODEL_KIND"):
            load_restorer(tmp_path / "w.safetensors")


def test_degraders_go_through_the_same_door(tmp_path):
    write_weights(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, {"kind": "munit_lq", "network": {"width": 9**9}})
    with pytest.raises(WeightsRefused, match="TOO_LARGE"):
        load_munit_lq(tmp_path / "w.safetensors")
    record_beside(tmp_path / "w.safetensors").unlink()
    with pytest.raises(WeightsRefused, match="MODEL_HASH"):
        load_munit_lq(tmp_path / "w.safetensors")
