"""The command: a table, and an exit code that a script can trust."""

import json
import shutil

import pytest
from conftest import PARITY
from safetensors.torch import load_file, save_file

from uplift_toolkit.__main__ import main


@pytest.fixture
def case(tmp_path):
    return shutil.copytree(PARITY / "five", tmp_path / "five")


def change(case, file, name, amount):
    tensors = load_file(case / file)
    tensors[name] = tensors[name] + amount
    save_file(tensors, case / file)


def test_table_of_a_directory_of_cases(case, capsys):
    assert main(["parity", str(case.parent)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()[1:-1]] == [
        ["five", model, output]
        for model in ("readable", "fast")
        for output in ("step1", "step2", "step3", "resized")
    ]
    assert out.endswith("all outputs agree\n")


def test_other_weights_disagree(case, capsys):
    change(
        case,
        "weights.safetensors",
        "attender.conv1.bias",
        0.01 * load_file(case / "case.safetensors")["image"][0, 0, 0, :5],
    )
    assert main(["parity", str(case)]) == 1
    assert "DISAGREES" in capsys.readouterr().out


def test_the_readable_model_has_the_narrower_bar(case, capsys):
    change(case, "case.safetensors", "resized", 5e-4)
    assert main(["parity", str(case)]) == 1
    assert capsys.readouterr().out.endswith("1 outputs disagree\n")


def test_not_a_number_disagrees(case):
    change(case, "case.safetensors", "step1", float("nan"))
    assert main(["parity", str(case)]) == 1


def test_missing_tensor_is_named(case, capsys):
    tensors = load_file(case / "weights.safetensors")
    del tensors["attender.conv1.bias"]
    save_file(tensors, case / "weights.safetensors")
    assert main(["parity", str(case)]) == 2
    assert "missing: attender.conv1.bias" in capsys.readouterr().err


def test_wrong_shape_is_a_sentence(case, capsys):
    description = json.loads((case / "case.json").read_text())
    description["resized_to"] = [10, 10]
    (case / "case.json").write_text(json.dumps(description))
    assert main(["parity", str(case)]) == 2
    assert "(expected:" in capsys.readouterr().err


def test_a_case_of_another_type_is_a_sentence(tmp_path, capsys):
    (tmp_path / "case.json").write_text("[]")
    assert main(["parity", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"parity: {tmp_path}/case.json: list (expected: an object)\n"


def test_no_case_is_a_sentence(tmp_path, capsys):
    assert main(["parity", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == f"parity: {tmp_path}: no case.json (expected: a case, or a directory of cases)\n"
    )
