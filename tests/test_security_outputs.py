"""What drrx writes lands below its results, and what it did not write it leaves alone."""

import shutil

import pytest

from drrx.cli.main import main
from drrx.config import load_config, stage_settings
from drrx.errors import DrrxError
from drrx.provenance.verify import verify
from drrx.stages.inside import check_results
from tests.boxed import snapshot
from tests.small_run import CONFIG, share_run
from tests.stand_in import make_project


@pytest.fixture
def finished(tmp_path, tmp_path_factory):
    """A copy of the shared run, hard links and all: as a user's."""
    shared = share_run(tmp_path_factory.getbasetemp())
    shutil.copytree(shared, tmp_path / "run")
    for image in (tmp_path / "run" / "results" / "dataset" / "images").iterdir():
        case, variant, view = image.stem.rsplit("_", 2)
        image.unlink()
        image.hardlink_to(tmp_path / "run" / "results" / "cases" / case / variant / view / "cxr.png")
    return tmp_path / "run"


def call(folder, stage, cases=("p1",)):
    record = "dataset/manifest.json" if stage == "collect_dataset" else f"records/{stage}/demo-0001.json"
    command = ["run-stage", stage, "--cohort", str(folder / "cohort.tsv"), "--results", str(folder / "results")]
    command += ["--cases", *cases, "--settings", stage_settings(load_config(CONFIG), stage), "--seed", "8"]
    return main([*command, "--output", str(folder / "results" / record)])


@pytest.mark.parametrize("place", ["p1", "p1/twin", "p1/v1/pa", "p1/stages"])
def test_a_link_in_the_place_of_a_folder_leads_nowhere(finished, tmp_path, capsys, place):
    outside, link = tmp_path / "outside", finished / "results" / "cases" / place
    shutil.move(link, outside)
    link.symlink_to(outside)
    before = snapshot(outside)
    assert call(finished, "compose_drr") == 1
    assert "found a link in the place of a folder" in capsys.readouterr().err
    assert snapshot(outside) == before


@pytest.mark.parametrize("place", ["dataset", "dataset/images"])
def test_a_data_set_that_is_a_link_is_not_written_and_nothing_in_it_removed(finished, tmp_path, capsys, place):
    outside, link = tmp_path / "outside", finished / "results" / place
    shutil.move(link, outside)
    (outside / "mine.png").write_text("a photograph")
    link.symlink_to(outside)
    before = snapshot(outside)
    with pytest.raises(DrrxError, match="needed folders of the run's own below its results"):
        check_results(finished / "results")
    assert call(finished, "collect_dataset") == 1
    assert "needed folders of the run's own below its results" in capsys.readouterr().err
    after = snapshot(outside)
    # The command takes away its record first; Snakemake never comes so far.
    assert {name for name in before if before[name] != after.get(name)} <= {"manifest.json"}
    assert after.keys() <= before.keys()


def test_results_may_lie_behind_a_link(finished, tmp_path):
    shutil.move(finished / "results", tmp_path / "disk")
    (finished / "results").symlink_to(tmp_path / "disk")
    assert call(finished, "read_ct", ("torn",)) == 0


def test_another_data_set_is_not_taken_for_a_runs_own(tmp_path):
    """Its files would be removed as those of an earlier run."""
    project = make_project(tmp_path)
    images = project.folder / "mine" / "dataset" / "images"
    images.mkdir(parents=True)
    (images / "photo.png").write_text("a photograph")
    said = project.run("--config", "results=mine")
    assert said.returncode == 1
    assert "results: mine: found a folder 'dataset' that is not of a run of drrx" in said.stdout + said.stderr
    assert sorted(path.name for path in project.folder.iterdir()) == [".snakemake", "cohort.tsv", "mine"]
    assert (images / "photo.png").read_text() == "a photograph"


def test_an_image_edited_in_the_data_set_is_told_there_and_in_its_case(finished):
    """Both are one file on the disk; whoever paints into one must hear of the other."""
    before = {finding.file for finding in verify(finished / "results").findings}
    name = "p1_twin_pa.png"
    with (finished / "results" / "dataset" / "images" / name).open("r+b") as stream:
        stream.seek(-30, 2)
        stream.write(b"painted")
    found = {finding.file for finding in verify(finished / "results").findings} - before
    assert found == {f"dataset/images/{name}", "cases/p1/twin/pa/cxr.png"}
