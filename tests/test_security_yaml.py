"""Settings files: nothing in them is run, nothing in them has two meanings."""

import resource
import subprocess
import sys
import time

import pytest

from drrx.errors import DrrxError
from drrx.io.strict_yaml import check_config_options, check_yaml
from tests.stand_in import ROOT, make_project


def test_the_projects_own_file_and_an_empty_one_pass(tmp_path):
    check_yaml(ROOT / "config.yaml")
    for text in ("", "# nothing\n", "seed: 3\nviews: [pa, 'no']\nrestore_cxr: {steps: 8, weights: \"\"}\ntrain:\n"):
        (tmp_path / "c.yaml").write_text(text)
        check_yaml(tmp_path / "c.yaml")


REFUSED = {
    "seed: 1\nviews: [pa]\nseed: 2\n": r"c\.yaml, line 3: found 'seed' again; needed each key once; .* line 1",
    "a:\n  b: 1\n  c: 2\n  b: 3\n": r"line 4: found 'b' again.* line 2",
    '{"seed": 1, "seed": 2}': r"line 1: found 'seed' again",
    "a: &x 1\n": r"line 1: found the anchor or alias 'x'.*Write the value out",
    "b: 1\na: *x\n": r"line 2: found the anchor or alias 'x'",
    "a: !!python/object/apply:os.system ['touch ran']\n": "found the tag 'tag:yaml.org,2002:python/object/apply:os",
    "a: !!str 3\n": "found the tag",
    "a: !x 3\n": "found the tag '!x'",
    "__use_yte__: true\n": "found the key '__use_yte__' of a template",
    "?open('ran', 'w'): 1\n": "found the key .* of a template",
    "<<: {a: 1}\n": "found the key '<<' of a template",
    "a: no\n": "line 1: found 'no', a word that YAML takes for true or false.*Write true or false, or quote it",
    "a: [On]\n": "found 'On'",
    "a: 012\n": "found '012', a number with a leading zero",
    "a: 1:30\n": "found '1:30', digits that YAML takes for base 60",
    "a: 2026-01-02\n": "found '2026-01-02', a word that YAML takes for a date",
    "a: .nan\n": r"found '\.nan', a number that is not finite",
    "a: -.INF\n": "not finite",
    "a: 1\n---\nb: 2\n": "line 2: found a second document",
    "- a\n- b\n": "found no mapping",
    "word": "found no mapping",
    "[1]: 2\n": "found a list or mapping as a key",
    "a: [1, 2\n": "line 2: found .* needed YAML",
    "a:\n\tb: 1\n": "line 2: found .* needed YAML",
    "a: '\n": "needed YAML",
    "a: " + "[" * 5000: "more than 16 levels",
    "a: \x00": "needed YAML",
    "a: " + "x" * 2**21: "found 2097155 bytes; needed at most 1048576",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_plain_yaml_is_refused_with_its_line(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DrrxError, match=f"(?s){REFUSED[text]}"):
        check_yaml(tmp_path / "c.yaml")


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\n")
    for path in (tmp_path / "c.yaml", tmp_path / "none.yaml", tmp_path):
        with pytest.raises(DrrxError, match="needed a readable UTF-8 file"):
            check_yaml(path)


def test_an_alias_bomb_ends_in_little_time_and_memory(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(DrrxError, match="anchor or alias 'a0'"):
        check_yaml(tmp_path / "c.yaml")
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


YTE = "__use_yte__: true\nseed:\n  ?if open('ran', 'w') is not None:\n    ?1\n"


def test_code_in_a_config_file_does_not_run(tmp_path):
    """Snakemake alone would run it: the first run shows that the text is what it claims to be."""
    project = make_project(tmp_path)
    bare = project.folder.parent / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(
        'configfile: "config.yaml"\nrule all:\n    output: "x"\n    shell: "touch {output}"\n'
    )
    (bare / "config.yaml").write_text(YTE)
    subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1"], cwd=bare, capture_output=True, check=False
    )
    assert (bare / "ran").exists(), "the trap is none"
    (project.folder / "config.yaml").write_text(YTE)
    said = project.run("--dry-run")
    assert said.returncode == 1
    assert "found the key '__use_yte__' of a template" in said.stdout + said.stderr
    (project.folder / "other.yaml").write_text(YTE)
    (project.folder / "config.yaml").unlink()
    command = [sys.executable, "-m", "drrx", "run"]
    for options in (["--configfile=other.yaml"], ["--configfile", "other.yaml", "--dry-run"]):
        said = project.run(*options, command=command)
        assert said.returncode == 1
        assert "other.yaml, line 1: found the key '__use_yte__' of a template" in said.stderr
    assert not (project.folder / "ran").exists()


def test_the_snakefile_looks_at_files_named_on_its_command_line(tmp_path):
    project = make_project(tmp_path)
    (project.folder / "other.yaml").write_text("seed: 1\nseed: 2\n")
    said = project.run("--dry-run", "--configfile", "other.yaml")
    assert said.returncode == 1
    assert "other.yaml, line 2: found 'seed' again" in said.stdout + said.stderr


def test_options_that_name_settings_files_are_found(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: no\n")
    (tmp_path / "good.yaml").write_text("a: 1\n")
    bad, good = str(tmp_path / "bad.yaml"), str(tmp_path / "good.yaml")
    for options in ([f"--configfile={bad}"], ["--configfiles", good, bad], ["-n", "--configfile", bad, "--cores", "2"]):
        with pytest.raises(DrrxError, match="found 'no'"):
            check_config_options(options)
    check_config_options(["--configfile", good, "--config", bad, "--cores", "2", "all"])
