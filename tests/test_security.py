"""No door is left open in the code, and what training goes on from is data."""

import ast
import re

import pytest
import torch
from torch import nn

from drrx.errors import DrrxError
from drrx.train.checkpoint import CHECKPOINT, STATE, read_parts, write_parts
from tests.stand_in import ROOT

#: Would run what a file says, or a shell, or speak to the network.
MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy", "pty",
    "socket", "socketserver", "urllib", "http", "ftplib", "smtplib", "requests", "httpx", "aiohttp", "urllib3",
    "huggingface_hub", "webbrowser", "gdcm",
}  # fmt: skip
#: Who works in a results folder is told by the name of its host; nothing is sent.
ALLOWED = {"drrx/io/processes.py": {"socket"}}
CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
METHODS = {
    ("torch", "load"), ("torch", "hub"), ("yaml", "load"), ("yaml", "load_all"), ("yaml", "full_load"),
    ("yaml", "unsafe_load"), ("os", "system"), ("os", "popen"), ("tempfile", "mktemp"), ("numpy", "fromfile"),
}  # fmt: skip
SOURCES = sorted(ROOT.glob("drrx/**/*.py"))


def find_doors(tree):
    """Lines of a module's tree that would run or fetch something, in words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"import {name}" for name in names if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        words = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if words.get("shell"):
            yield "shell=True"
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield f"{node.func.id}()"
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            name = node.func.attr
            if (owner, name) in METHODS or name in ("extractall", "popen", "unsafe_load"):
                yield f"{owner}.{name}()"
            if words.get("allow_pickle", False) is not False:
                yield f"{name}() that may unpickle"


def test_the_search_finds_doors():
    text = (
        "import pickle\nfrom urllib.request import urlopen\nimport torch, yaml, os\ntorch.load(x)\nyaml.load(x)\n"
        "eval(x)\nrun(x, shell=True)\nt.extractall()\nnp.load(x, allow_pickle=True)\nos.system(x)\n"
    )
    assert len(list(find_doors(ast.parse(text)))) == 9


def test_no_door_is_open():
    assert len(SOURCES) > 200
    found = {}
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        allowed = {f"import {module}" for key, modules in ALLOWED.items() if name.startswith(key) for module in modules}
        if doors := set(find_doors(ast.parse(path.read_text()))) - allowed:
            found[name] = doors
    assert not found


def test_every_word_of_a_rules_command_is_quoted_or_a_number():
    """An unquoted path in a command would be read by the shell."""
    bare = {"params.run", "params.drrs", "params.pairs"}  # made by shlex.join
    safe = {"params.name", "wildcards.model", "params.minutes", "params.copies", "params.device"}  # words, numbers
    rules = sorted(ROOT.glob("workflow/rules/*.smk"))
    commands = [text for path in rules for text in re.findall(r"    shell:\n((?: +.*\n)+)", path.read_text())]
    assert len(commands) >= 12
    words = {word for text in commands for word in re.findall(r"(?<!\{)\{([^{}]+)\}", text)}
    assert {word for word in words if not word.endswith(":q")} <= bare | safe
    for path in rules:
        assert "run:" not in re.findall(r"^    (run:)$", path.read_text(), re.MULTILINE)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def folder(tmp_path):
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    write_parts(tmp_path, {"model": layer}, {"optimizer": optimizer}, {"step": 7})
    return tmp_path


def read(folder):
    layer = nn.Linear(2, 2)
    return read_parts(folder, {"model": layer}, {"optimizer": torch.optim.AdamW(layer.parameters())})


def test_a_checkpoint_has_tensors_and_step_of_one_moment(folder):
    (folder / STATE).write_text('{"step": 3}')  # as if killed before the second file was written
    assert read(folder)["step"] == 7


def test_a_checkpoint_is_data(folder):
    marker = folder / "ran"
    whole = (folder / CHECKPOINT).read_bytes()
    torch.save({"model": Evil(marker)}, folder / CHECKPOINT)
    pickled = (folder / CHECKPOINT).read_bytes()
    for data in (pickled, whole[:-3], b"", b"{}", whole[:50]):
        (folder / CHECKPOINT).write_bytes(data)
        with pytest.raises(DrrxError, match="needed a whole checkpoint that drrx wrote"):
            read(folder)
    assert not marker.exists()
