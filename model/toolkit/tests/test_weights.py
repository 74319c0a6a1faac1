"""What is read of files of weights, and what is said about those that do not fit."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uplift_toolkit.downloads import locate
from uplift_toolkit.weights import WeightsError, load_strict, read_state_dict


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_state_dicts_of_both_formats(tmp_path, wrapper):
    state = nn.Linear(2, 3).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, tmp_path / "a.pth")
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        assert all(torch.equal(value, state[name]) for name, value in read_state_dict(path).items())


def test_a_file_that_is_no_state_dict(tmp_path):
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="expected: a state dict"):
        read_state_dict(tmp_path / "a.pth")


BODY = {"stem.weight": (4, 2), "norm.bias": (4,), "blocks.0.fc.weight": (8, 4), "blocks.1.fc.weight": (8, 4)}


def body(seed=0, width=4):
    """The tensors of a small model."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn([width if n == 4 else n for n in shape], generator=generator)
        for name, shape in BODY.items()
    }


class Body(nn.Module):
    """A module of these tensors."""

    def state_dict(self, *arguments, **options):
        return body(9)

    def load_state_dict(self, state, *arguments, **options):
        self.loaded = state


def beneath_name(prefix, tensors):
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def load(path):
    module = Body()
    load_strict(module, read_state_dict(path), path)
    return module.loaded


def assert_is_body(state, seed=0):
    assert state.keys() == BODY.keys()
    assert all(torch.equal(value, body(seed)[name]) for name, value in state.items())


PREFIXES = [
    "module.", "_orig_mod.", "module._orig_mod.", "backbone.", "model.backbone.", "teacher.backbone.",
    "encoder.", "_forward_module.net.encoder.", "_fsdp_wrapped_module.", "model.model.model.",
]  # fmt: skip
WRAPPED = {
    "Lightning": lambda: {"state_dict": beneath_name("model.", body()), "hyper_parameters": {"lr": 1.0}},
    "DINO": lambda: {
        "teacher": beneath_name("backbone.", body()),
        "dino_loss": {"center": torch.zeros(1, 4)},
    },
    "MMSegmentation": lambda: {
        "meta": {},
        "state_dict": {**beneath_name("backbone.", body()), "decode_head.bias": torch.zeros(3)},
    },
    "DeepSpeed": lambda: {"module": body(), "rng_state": torch.get_rng_state()},
    "nested": lambda: {"model": {"ema": {"module": beneath_name("net.", body())}}, "epoch": 3},
    "of no known name": lambda: {"weights of mine": {"model": body()}, "scores": torch.zeros(3)},
    "with an optimiser": lambda: {
        "model": body(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1}]},
    },
    "with a smaller student": lambda: {"teacher": body(), "student": body(1, width=3)},
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_any_prefix_that_all_names_share(tmp_path, capsys, prefix, suffix):
    path = tmp_path / f"a.{suffix}"
    state = {**beneath_name(prefix, body()), "head.bias": torch.zeros(3)}
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    assert_is_body(load(path))
    said = capsys.readouterr().err
    assert said == f"{path}: 4 tensors read from {prefix[:-1]}; 1 tensors beside them are left out\n"


@pytest.mark.parametrize("trainer", WRAPPED)
def test_checkpoints_as_trainers_write_them(tmp_path, capsys, trainer):
    torch.save(WRAPPED[trainer](), tmp_path / "a.pth")
    assert_is_body(load(tmp_path / "a.pth"))
    assert capsys.readouterr().err.count("a.pth: 4 tensors read from ") == 1


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_more_than_one_candidate_is_a_question(tmp_path, suffix):
    student, teacher = beneath_name("module.backbone.", body(1)), beneath_name("backbone.", body())
    path = tmp_path / f"a.{suffix}"
    if suffix == "pth":
        torch.save({"student": student, "teacher": teacher, "epoch": 9}, path)
    else:
        save_file({**beneath_name("student.", student), **beneath_name("teacher.", teacher)}, path)
    question = (
        r"2 sets of weights fit: student.module.backbone, teacher.backbone \(expected: one; say which by "
    )
    with pytest.raises(WeightsError, match=rf"{question}.*a.{suffix}#student.module.backbone\)"):
        load(path)
    for entry, seed in (("teacher", 0), ("student", 1), ("teacher.backbone", 0), ("student.module", 1)):
        chosen = locate(f"{path}#{entry}", hashlib.sha256(path.read_bytes()).hexdigest())
        assert_is_body(load(chosen), seed)
    with pytest.raises(WeightsError, match=r"backbone is at student.module.backbone and teacher.backbone \("):
        load(Path(f"{path}#backbone"))
    with pytest.raises(WeightsError, match=r"no entry ema \(expected: .*student \(4 tensors\), teacher"):
        load(Path(f"{path}#ema"))


def test_a_name_with_a_number_sign_is_a_name(tmp_path):
    torch.save(body(), tmp_path / "run#teacher")
    assert_is_body(load(locate(str(tmp_path / "run#teacher"))))
    (tmp_path / "#1").mkdir()
    torch.save({"a": body(1), "b": body()}, tmp_path / "#1" / "a.pth")
    assert_is_body(load(locate(f"{tmp_path}/#1/a.pth#b")))
    with pytest.raises(WeightsError, match=r"#1/none \(expected: a file"):
        locate(f"{tmp_path}/#1/none")


def test_a_refusal_shows_what_was_found(tmp_path):
    torch.save({"teacher": {"conv.weight": torch.zeros(2)}, "epoch": 3, "args": Option()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError) as e:
        load(tmp_path / "a.pth")
    said = str(e.value)
    assert "a.pth (which has teacher (1 tensors: conv.weight), epoch, args): " in said
    assert "missing: stem.weight [4, 2]" in said and "surplus: conv.weight [2]" in said
    for stored, found in (({"epoch": 3}, "epoch"), (Option(), "an object of a class"), ({}, "nothing")):
        torch.save(stored, tmp_path / "b.pth")
        with pytest.raises(
            WeightsError, match=rf"b.pth has {found}.* \(expected: a state dict, tensors by name"
        ):
            load(tmp_path / "b.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_that_are_no_weights_say_what_they_are(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        save_file(body(), path)
    else:
        torch.save(body(), path)
    whole = path.read_bytes()
    for content, what in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (b'{"weight_map": {}}', "it is JSON"),
        (b"not weights", ""),
        (whole[: len(whole) // 2], ""),
        (b"", ""),
    ):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"a.{suffix} cannot be read: {what}.*\(expected: "):
            load(path)


def test_a_file_of_the_other_format(tmp_path):
    save_file(body(), tmp_path / "a.pth")
    assert_is_body(load(tmp_path / "a.pth"))
    torch.save(body(), tmp_path / "b.safetensors")
    with pytest.raises(
        WeightsError, match=r"b.safetensors cannot be read: .*\(expected: a safetensors file\)"
    ):
        load(tmp_path / "b.safetensors")


class Names(dict):
    """Stands for a training script's class of dictionaries."""


@pytest.mark.parametrize("zipped", [True, False])
def test_dictionaries_of_other_classes_and_old_files(tmp_path, zipped):
    options = Names(lr=Option(), more=Names(values=[1]))
    state = {"model": Names(body()), "options": options, "best": np.float64(0.5), "scores": np.zeros(3)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_is_body(load(tmp_path / "a.pth"))


class Option:
    """Stands for a class of a training script that is not installed here."""


def test_other_entries_of_a_checkpoint_are_not_run(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    torch.save({"model_state_dict": state, "options": {"lr": Option(), "path": tmp_path}}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == ["weight", "bias"]
    (tmp_path / "b.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"b.pth cannot be read: "):
        read_state_dict(tmp_path / "b.pth")


def test_a_compressed_checkpoint(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "b.pth").stat().st_size < 1 << 14
    with pytest.raises(WeightsError, match=r"b.pth is compressed \(expected: "):
        read_state_dict(tmp_path / "b.pth")


def test_loading_is_strict():
    module, state = nn.Linear(2, 3), nn.Linear(2, 3).state_dict()
    load_strict(module, {**state, "head.weight": torch.zeros(1)}, "file", ignore=["head."])
    assert torch.equal(module.weight, state["weight"])
    with pytest.raises(WeightsError, match=r"^file: missing: bias \[3\]$"):
        load_strict(module, {"weight": state["weight"]}, "file")
    with pytest.raises(WeightsError, match=r"^file: surplus: head.weight \[1\]$"):
        load_strict(module, {**state, "head.weight": torch.zeros(1)}, "file")
    with pytest.raises(WeightsError, match=r"^file: missing: bias \[3\]; surplus: bais \[3\]$"):
        load_strict(module, {"weight": state["weight"], "bais": state["bias"]}, "file")
    with pytest.raises(WeightsError, match=r"of another shape: weight \[2, 3\] \(expected: \[3, 2\]\)"):
        load_strict(module, {**state, "weight": torch.zeros(2, 3)}, "file")
