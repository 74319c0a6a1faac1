"""What a user gets who made a mistake: one sentence and exit code 2, never a traceback."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import SMALL, write
from PIL import Image
from torch import nn

from uplift_toolkit.__main__ import main
from uplift_toolkit.timm_backbone import TimmBackbone, TimmConfig


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The sentence on standard error."""
    assert main([*map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: street\ninput: {width: 3\nbackbone: x\n", "line 3, column 9: "),
        (b"name: street\n\tversion: 1\n", "line 2, column 1: "),
        (b"name: [a\n", "line 2, column 1: "),
        ("name: Straße\n".encode("latin-1"), "expected: text in UTF-8"),
        ("name: street\n".encode("utf-16"), "expected: text in UTF-8"),
        (b"name: a\x00b\n", "expected: text in UTF-8"),
        (b"", "model.yaml: no description of a model (expected: name, input, backbone, …)"),
        (b"- a\n- b\n", "model.yaml: no description of a model"),
        (b"name: street\n", "'backbone' is missing"),
    ],
)
def test_a_description_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(content)
    said = refused(capsys, "export", "--config", path, "--random", 0, "--output", tmp_path / "b")
    assert said.startswith(f"export: {path}") and message in said and said.count("\n") == 1


def test_a_data_set_with_bad_files_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            pixels = np.zeros((24, 40, 3) if folder == "images" else (24, 40), np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "images" / "a.png").write_bytes(b"")
    (tmp_path / "labels" / "b.png").write_bytes(b"PNG")
    arguments = [
        "train-backbone",
        "--config",
        write(tmp_path),
        "--data",
        tmp_path,
        "--output",
        tmp_path / "out",
    ]
    said = refused(capsys, *arguments, "--steps", 1, "--batch", 1)
    assert "2 files cannot be used" in said and "images/a.png: " in said and "labels/b.png: " in said
    assert main([*map(str, arguments), "--steps", "1", "--batch", "1", "--skip-bad"]) == 0
    assert "2 files that cannot be used are left out:" in capsys.readouterr().err
    (tmp_path / "out" / "backbone.checkpoint.pt").write_bytes(b"PK")
    said = refused(capsys, *arguments, "--steps", 2, "--skip-bad", "--resume")
    assert "backbone.checkpoint.pt: " in said and "expected: the checkpoint of a run" in said


def test_a_flat_folder_has_no_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    arguments = ["--config", write(tmp_path), "--data", tmp_path, "--weights", tmp_path / "out"]
    said = refused(capsys, "evaluate", *arguments, "--split", "val")
    assert said == (
        f"evaluate: --split: no split val in {tmp_path} (expected: {tmp_path}/val/images; a flat folder has "
        "no splits)\n"
    )


def test_labels_and_weights_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "--output", tmp_path / "b", "--weights", tmp_path, "--config"]
    said = refused(capsys, *arguments, write(tmp_path, labels="cityscape"))
    assert "labels: cityscape (expected: ade20k, ade20k-151, cityscapes, voc2012 or a JSON file)" in said
    said = refused(capsys, *arguments, write(tmp_path))
    assert "backbone.safetensors: no such file (train-backbone makes it; " in said


def test_an_image_that_cannot_be_decoded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "export",
        "--config",
        write(tmp_path),
        "--random",
        0,
        "--output",
        tmp_path / "b",
        "--readable",
    ]
    image = tmp_path / "a.png"
    Image.new("RGB", (64, 48)).save(image)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # what Pillow then raises is no ValueError
    said = refused(capsys, *arguments, "--golden", image)
    assert said.splitlines()[-1].startswith(f"export: {image}: Image size (3072 pixels) exceeds limit")
    said = refused(capsys, *arguments, "--golden", tmp_path / "none.png")
    assert said.splitlines()[-1] == f"export: {tmp_path}/none.png: No such file or directory"


class Plain(nn.Module):
    """A model of timm's as far as the toolkit looks at it: tokens of a patch grid, or what a case gives."""

    num_features = 16
    pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # noqa: RUF012

    def __init__(self, name: str, size: tuple[int, int], any_size: bool) -> None:
        super().__init__()
        self.patch_embed = types.SimpleNamespace(patch_size=8 if name == "xcit" else (8, 8))
        self.kind, self.size, self.any_size = name, size, any_size

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        if self.kind == "swin":
            return torch.zeros(len(images), 2, 2, 16)
        if self.kind == "sized":
            raise AssertionError("Input height (24) doesn't match model (32).")
        height, width = images.shape[2:] if self.any_size else self.size
        tokens = height // 8 * (width // 8)
        return torch.zeros(len(images), tokens + (self.kind in ("cait", "xcit")), 16)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in; `any_size` tells of the models that it made whether they take images of any size."""

    def create_model(
        name: str, num_classes: int, img_size: tuple[int, int], dynamic_img_size: bool | None = None
    ) -> nn.Module:
        if name == "plane":
            raise RuntimeError("Unknown model (plane)")
        if name == "resnet":
            raise TypeError("unexpected keyword argument 'img_size'")
        if name == "beit" and dynamic_img_size is not None:
            raise TypeError("unexpected keyword argument 'dynamic_img_size'")
        fake.any_size.append(bool(dynamic_img_size))
        return Plain(name, img_size, bool(dynamic_img_size))

    fake = types.ModuleType("timm")
    fake.create_model, fake.list_models = create_model, lambda: ["plain", "resnet", "swin"]
    fake.any_size = []
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


def export_of_timm(tmp_path: Path, name: str) -> list[object]:
    config = write(tmp_path, backbone={"timm": {"name": name, "dim": 16, "patch": 8}})
    return ["export", "--config", config, "--random", 0, "--output", tmp_path / "b", "--readable"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin", r"timm: swin gives [1, 2, 2, 16] for an image of 40x24 (expected: [1, 15, 16]"),
        ("cait", r"timm: cait gives [1, 16, 16] for an image of 40x24 (expected: [1, 15, 16]"),
        ("xcit", r"timm: xcit gives [1, 16, 16] for an image of 40x24 (expected: [1, 15, 16]"),
        ("sized", r"timm: sized: Input height (24) doesn't match model (32)."),
        (
            "plane",
            r"timm: plane: Unknown model (plane) (expected: a model with a patch grid; timm has plain)",
        ),
        (
            "resnet",
            r"timm: resnet: unexpected keyword argument 'img_size' (expected: a model with a patch grid",
        ),
    ],
)
@pytest.mark.usefixtures("timm")
def test_models_of_timm_that_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    said = refused(capsys, *export_of_timm(tmp_path, name))
    assert said.splitlines()[-1].startswith(f"export: {message}")


def test_models_of_timm_have_the_size_of_the_input(tmp_path: Path, timm: types.ModuleType) -> None:
    assert main([*map(str, export_of_timm(tmp_path, "plain")), "--size", "48x24"]) == 0
    assert timm.any_size == [True, False]  # the model, and what is traced


@pytest.mark.usefixtures("timm")
def test_models_of_timm_see_images_of_other_sizes() -> None:
    larger = torch.zeros(2, 3, 48, 80)
    assert TimmBackbone(TimmConfig("plain", 16, 8), (24, 40))(larger).shape == (2, 16, 6, 10)
    beit = TimmBackbone(TimmConfig("beit", 16, 8), (24, 40))
    assert beit(torch.zeros(2, 3, 24, 40)).shape == (2, 16, 3, 5)
    with pytest.raises(ValueError, match=r"timm: beit: an image of 80x48 \(expected: 40x24, the only size "):
        beit(larger)


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; from uplift_toolkit.__main__ import main; {program}"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["torch", "yaml"])
def test_a_package_that_is_missing(package: str) -> None:
    done = run(f"sys.modules['{package}'] = None; sys.exit(main(['export', '--help']))")
    assert done.returncode == 2
    assert done.stderr.startswith("uplift_toolkit: ") and package in done.stderr
    assert done.stderr.count("\n") == 1


def test_who_reads_the_output_may_end() -> None:
    closed = "import os; read, write = os.pipe(); os.close(read); os.dup2(write, 1); "
    printing = "from uplift_toolkit import agree; agree.run = lambda parsed: print('line') or 0; "
    arguments = ["agree", "--config", "a", "--images", "b", "--outputs", "c"]
    done = run(f"{closed}{printing}sys.exit(main({arguments}))")
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("uplift_toolkit.export.DenseModel", interrupted)
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(SMALL))
    arguments = ["export", "--config", tmp_path / "model.yaml", "--random", 0, "--output", tmp_path / "b"]
    assert main([*map(str, arguments)]) == 130
    assert capsys.readouterr().err.endswith("export: interrupted\n")
    monkeypatch.setattr("uplift_toolkit.train.open_frames", interrupted)
    training = ["train-backbone", *arguments[1:3], "--data", tmp_path, "--output", tmp_path / "out"]
    assert main([*map(str, training)]) == 130
    said = "train-backbone: interrupted; nothing was saved yet (--save-minutes 3)\n"
    assert capsys.readouterr().err == said
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "backbone.checkpoint.pt").touch()
    assert main([*map(str, training)]) == 130
    assert capsys.readouterr().err == "train-backbone: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("trian-heads", "invalid choice: 'trian-heads' (choose from … perhaps train-heads; see python -m"),
        ("", "the following arguments are required: COMMAND; see python -m uplift_toolkit --help"),
        ("export", "export: the following arguments are required: --config, --output; see"),
        (
            "export --config a --output b --radnom 0",
            "arguments: --radnom 0; perhaps --random; see",
        ),
        (
            "train-heads --config a --data b --output c --steps x",
            "--steps: invalid int value: 'x'; see",
        ),
        ("export --config no.yaml --output {dir}/out", "export: {here}/no.yaml: No such file or directory"),
        (
            "export --config no.yaml --output {dir}/file/out",
            "export: --output: {dir}/file is not a directory",
        ),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, sentence: str
) -> None:
    (tmp_path / "file").write_text("a text")
    try:
        code = main(arguments.format(dir=tmp_path).split())
    except SystemExit as e:
        code = int(e.code or 0)
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1)
    for part in sentence.format(dir=tmp_path, here=Path.cwd()).split("…"):
        assert part in said
