"""What a data set says of its own making: complete for every image, shared facts once, and readable by others."""

import csv
import getpass
import hashlib
import json
import platform
import socket

import pytest
from rdflib import Graph, Namespace, URIRef
from rocrate.rocrate import ROCrate

import drrx
from drrx.dataset.formats.ro_crate import write_ro_crate
from drrx.dataset.manifest import read_files
from drrx.dataset.provenance import Makings, hash_json, name_source
from drrx.environment import read_environment
from drrx.errors import DrrxError
from drrx.fingerprint import stage_fingerprint
from drrx.io.files import read_json, sha256_file
from drrx.stages.layout import CaseFolder
from tests.image_entries import make_entries
from tests.small_run import run_stages, share_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return share_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def dataset(folder):
    return folder / "results" / "dataset"


@pytest.fixture(scope="module")
def images(dataset):
    with (dataset / "provenance.tsv").open(newline="") as stream:
        return {row["image_id"]: row for row in csv.DictReader(stream, delimiter="\t")}


# The manifest


def test_the_table_of_files_tells_size_and_sum_of_every_file(dataset):
    listed = read_files(dataset / "files.tsv")
    lying = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    assert lying - listed.keys() == {"files.tsv", "manifest.json", "sha256sums.txt"}
    for name, (size, sha256) in listed.items():
        content = (dataset / name).read_bytes()
        assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    told = read_json(dataset / "manifest.json")["files"]
    assert (told["count"], told["bytes"]) == (len(listed), sum(size for size, _ in listed.values()))
    assert told["sha256"] == sha256_file(dataset / "files.tsv")


def test_a_table_of_files_that_is_none_is_refused(tmp_path):
    for text in ("", "bytes\tname\n", "bytes\tsha256\tname\nmany\tab\ta.png\n", "bytes\tsha256\tname\na.png\n"):
        (tmp_path / "files.tsv").write_text(text)
        with pytest.raises(DrrxError, match=r"files\.tsv: found .*Run collect_dataset again"):
            read_files(tmp_path / "files.tsv")


def test_every_image_has_its_inputs_and_seeds(folder, images):
    assert list(images) == [
        f"{case}_{variant}_pa"
        for case, variants in (("p1", ("twin", "v1", "s1")), ("p2", ("twin", "v1", "s1", "removed")))
        for variant in variants
    ]
    assert images["p1_v1_pa"]["source"] == "phantom:1"
    assert images["p2_v1_pa"]["source"] == f"sha256:{sha256_file(folder / 'ct.nii.gz')}"
    assert images["p2_twin_pa"]["annotations_sha256"] == sha256_file(folder / "known.nii.gz")
    for row in images.values():
        case = CaseFolder(folder / "results", row["case"])
        files = {key: case.image(row["variant"], "pa", file) for key, file in (("cxr", "cxr.png"), ("drr", "drr.png"))}
        assert row["ct_sha256"] == sha256_file(case.ct)
        assert (row["cxr_sha256"], row["drr_sha256"]) == tuple(sha256_file(path) for path in files.values())
        assert row["noise_seed"] == str(read_json(case.image("twin", "pa", "drr.json"))["noise_seed"])
        cxr = read_json(case.image("twin", "pa", "cxr.json"))
        assert (row["restore_seed"], row["weights_sha256"]) == (str(cxr["seed"]), cxr["weights_sha256"])
        drawn = {"v1": "v1", "s1": "v1"}.get(row["variant"])
        seeds = [str(item["seed"]) for item in read_json(case.nodules(drawn))["nodules"]] if drawn else []
        assert row["nodule_seeds"].split() == seeds
        assert row["sham_of"] == (f"{row['case']}_v1_pa" if row["role"] == "sham" else "")


def test_code_and_environment_of_every_stage_stand_there_once(dataset, images):
    manifest = read_json(dataset / "manifest.json")
    (made_by,) = manifest["made_by"].values()
    assert {row["made_by"] for row in images.values()} == manifest["made_by"].keys()
    assert {stage: made["code"] for stage, made in made_by.items()} == {s: stage_fingerprint(s) for s in made_by}
    assert len(made_by) == 7
    assert {made["drrx"] for made in made_by.values()} == {drrx.__version__}
    assert list(manifest["environments"].values()) == [read_environment()]
    assert manifest["run"]["seed"] == 7
    assert manifest["run"]["settings"]["restore_cxr"]["steps"] == 2
    lines = [json.loads(line) for line in (dataset / "records.jsonl").read_text().splitlines()]
    assert {line["run_sha256"] for line in lines} == {manifest["run_sha256"]} == {hash_json(manifest["run"])}


def test_cases_made_by_other_code_are_told_apart():
    makings, made = Makings(), {"drrx": "1", "code": "a", "environment": {"numpy": "2"}}
    first, same = (makings.add({"read_ct": {"made_by": made}}) for _ in range(2))
    other = makings.add({"read_ct": {"made_by": made | {"code": "b"}}})
    newer = makings.add({"read_ct": {"made_by": made | {"environment": {"numpy": "3"}}}})
    assert first == same
    assert len({first, other, newer}) == 3
    told = makings.to_json()
    assert sorted(env["numpy"] for env in told["environments"].values()) == ["2", "3"]
    assert makings.add({"read_ct": {"products": {}}}) == "", "of a case that nobody recorded"


def test_the_environment_has_versions_and_nothing_of_this_machine():
    found = read_environment()
    assert found["python"] == platform.python_version()
    assert {"numpy", "scipy", "torch", "scikit-image", "diffusers", "pillow"} <= found.keys()
    assert socket.gethostname() not in json.dumps(found)


def test_no_folder_host_or_user_gets_into_the_records(folder, dataset):
    for name in ("manifest.json", "provenance.tsv", "files.tsv", "ro-crate-metadata.json", "records.jsonl"):
        text = (dataset / name).read_text()
        assert str(folder) not in text
        assert socket.gethostname() not in text
        assert f"/{getpass.getuser()}/" not in text


def test_the_same_run_collected_again_gives_the_same_bytes(folder):
    names = ("sha256sums.txt", "dataset/sha256sums.txt", "dataset/manifest.json", "dataset/ro-crate-metadata.json")
    before = [(folder / "results" / name).read_bytes() for name in names]
    run_stages(folder)
    assert [(folder / "results" / name).read_bytes() for name in names] == before


def test_a_source_is_named_by_seed_or_hash():
    assert name_source({"format": "phantom", "seed": 3}) == "phantom:3"
    assert name_source({"format": "nifti", "sha256": "ab"}) == "sha256:ab"
    assert name_source({}) == ""


# The RO-Crate


@pytest.fixture(scope="module")
def crate(dataset):
    return ROCrate(str(dataset))


def test_a_reader_of_crates_finds_every_file_and_folder(crate, dataset):
    parts = {entity.id for entity in crate.data_entities}
    lying = {path.name + "/" * path.is_dir() for path in dataset.iterdir()}
    assert parts == lying - {"ro-crate-metadata.json"}
    assert crate.root_dataset["license"] == "Apache-2.0; CC0"


def test_one_action_tells_instrument_inputs_and_results(crate, dataset, images):
    (action,) = crate.get_by_type("CreateAction")
    assert crate.root_dataset["mentions"].id == action.id
    assert action["instrument"]["softwareVersion"] == drrx.__version__
    sources = {entity.id: entity["identifier"] for entity in action["object"] if entity.id.startswith("#ct-")}
    assert sources == {f"#ct-{case}": images[f"{case}_twin_pa"]["source"] for case in ("p1", "p2")}
    (weights,) = (entity for entity in action["object"] if entity.id.startswith("#weights-"))
    assert weights["sha256"] == images["p1_v1_pa"]["weights_sha256"]
    values = {entity["name"]: entity["value"] for entity in action["object"] if entity.type == "PropertyValue"}
    assert values == {"seed": 7, "settings of all stages": read_json(dataset / "manifest.json")["run_sha256"]}
    assert {entity.id for entity in action["result"]} == {entity.id for entity in crate.data_entities}


def test_its_triples_hang_together(dataset):
    """Read as plain linked data, with the few terms of the crate's context that it uses."""
    data = read_json(dataset / "ro-crate-metadata.json")
    assert data["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    terms = {"@vocab": "http://schema.org/", "conformsTo": "http://purl.org/dc/terms/conformsTo"}
    data["@context"] = [terms, *data["@context"][1:]]
    graph = Graph().parse(data=json.dumps(data), format="json-ld", publicID="https://example.org/")
    schema = Namespace("http://schema.org/")
    (action,) = graph.subjects(schema.instrument)
    told = set(graph.subjects())
    for predicate in (schema.object, schema.result, schema.instrument):
        assert set(graph.objects(action, predicate)) <= told
    conforms = URIRef("http://purl.org/dc/terms/conformsTo")
    assert {str(value) for value in graph.objects(None, conforms)} == {
        "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/wfrun/process/0.5"
    }  # fmt: skip


def test_what_is_not_known_is_left_out(tmp_path):
    entries = make_entries(tmp_path, cases=("c1",), views=("pa",), facts={})
    for date in (None, "2026-11-23"):
        write_ro_crate(tmp_path, entries, ["images.csv"], {"seed": 3}, date)
        graph = {item["@id"]: item for item in read_json(tmp_path / "ro-crate-metadata.json")["@graph"]}
        assert graph["./"].get("datePublished") == date
        assert graph["#ct-c1"].keys() == {"@id", "@type", "name", "license", "description"}
        assert not [name for name in graph if name.startswith("#weights")]
        assert "agent" not in graph["#run"]
