"""Training and judging on a tiny world of coloured rectangles, through the command line."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from uplift_toolkit import train_upsampler
from uplift_toolkit.__main__ import main
from uplift_toolkit.data import Frames, Window, class_weights
from uplift_toolkit.images import VOID
from uplift_toolkit.model import DenseModel, ModelConfig
from uplift_toolkit.probe import maps_of
from uplift_toolkit.pyramid import centres, move
from uplift_toolkit.train import patch_histograms, patch_log_depths
from uplift_toolkit.train_upsampler import CellAttender, start_from
from uplift_toolkit.training import Training
from uplift_toolkit.uplift import LocalAttender, uplift_config

COLOURS = np.array([[90, 90, 90], [40, 160, 60], [200, 40, 40]], np.uint8)
METRES = np.array([8.0, 20.0, 40.0])


def draw(directory: Path, count: int, seed: int) -> Path:
    """Frames of 128×64: ground (0), a wall (1), a box (2), a column of void; their depth is their class's."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels", "depth"):
        (directory / kind).mkdir(parents=True)
    for i in range(count):
        labels = np.zeros((64, 128), np.uint8)
        labels[: rng.integers(16, 48)] = 1
        y, x = rng.integers(0, 40), rng.integers(0, 90)
        labels[y : y + 24, x : x + 30] = 2
        depth = (METRES[labels] * 100).astype(np.uint16)
        image = np.clip(COLOURS[labels] + rng.normal(0, 8, (64, 128, 3)), 0, 255).astype(np.uint8)
        labels[:, 127] = VOID
        Image.fromarray(image).save(directory / "images" / f"{i:03}.jpg", quality=95)
        Image.fromarray(labels).save(directory / "labels" / f"{i:03}.png")
        Image.fromarray(depth).save(directory / "depth" / f"{i:03}.png")
    return directory


def config_file(path: Path) -> Path:
    vit = {"patch": 8, "dim": 16, "depth": 1, "heads": 2, "grid": [8, 16], "class_token": False}
    values = {
        "name": "boxes",
        "version": "1",
        "description": "Rectangles.",
        "license": "Apache-2.0",
        "input": {"width": 128, "height": 64},
        "backbone": {"vit": {**vit, "layer_scale": False, "stem": "conv"}},
        "upsampler": {"steps": 3, "uplift": {"neighbours": 5, "encoder": [4, 8, 8, 8, 8], "decoder": 8}},
        "heads": [
            {"name": "segmentation", "kind": "segmentation", "channels": 3, "confidence": True},
            {"name": "features", "kind": "features", "channels": 4, "stride": 4},
            {"name": "depth", "kind": "regression", "channels": 1, "stride": 2, "unit": "m", "log": True},
        ],
        "labels": "labels.json",
    }
    path.write_text(yaml.safe_dump(values))
    names = ["ground", "wall", "box"]
    colours = [f"#{bytes(colour).hex()}" for colour in COLOURS]
    labels = [{"id": i, "name": names[i], "color": colours[i]} for i in range(3)]
    (path.parent / "labels.json").write_text(json.dumps(labels))
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors as small as these are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The whole chain once: data, backbone, upsampler (with and without labels), heads."""
    directory = tmp_path_factory.mktemp("world")
    paths = {
        "data": draw(directory / "train", 24, seed=1),
        "seen": draw(directory / "validation", 8, seed=2),
        "config": config_file(directory / "boxes.yaml"),
        "weights": directory / "weights",
    }
    common = ["--config", paths["config"], "--data", paths["data"], "--output", paths["weights"]]
    command("train-backbone", *common, "--steps", 120, "--batch", 1, "--lr", 0.003)
    small = ["--steps", 20, "--images", 12, "--batch", 2]
    command("train-upsampler", *common, *small, "--levels", 2, "--larger", "--shifted")
    labelled = ["--init", paths["weights"] / "upsampler.safetensors", "--task-loss", 1]
    command("train-upsampler", *common, *small, *labelled)
    command("train-heads", *common, "--images", 16, "--pixels", 200, "--steps", 300, "--probes", 2)
    return paths


def command(name: str, *arguments: object) -> None:
    assert main([name, *map(str, arguments)]) == 0


def test_a_trained_model_sees_unseen_frames(world: dict[str, Path], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command(
        "evaluate", "--config", world["config"], "--data", world["seen"], "--weights", world["weights"],
        "--report", report, "--seeds", 0, 1, "--ceiling",
    )  # fmt: skip
    values = json.loads(report.read_text())
    scores = values["heads"]
    assert set(scores["segmentation"]) == {"nearest", "bilinear", "uplift"}
    for score in scores["segmentation"]["uplift"]:
        assert score["pixelAccuracy"] > 0.8
        assert set(score["iou"]) == {"ground", "wall", "box"}
        assert 0 < score["boundaryF"] <= 1
    first, second = scores["segmentation"]["uplift"]
    assert first != second
    assert scores["depth"]["uplift"][0]["absRel"] < 0.25
    assert values["ceiling"]["best neighbour"]["meanIoU"] > values["ceiling"]["nearest"]["meanIoU"]
    assert all(values["cost"][u]["upsampling seconds"] > 0 for u in scores["segmentation"])
    assert Image.open(report.with_suffix(".png")).size[0] > 300


def test_another_upsampler_is_trained_and_judged_beside(
    world: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    common = ["--config", world["config"], "--data", world["data"], "--output", tmp_path]
    for part in ("backbone", "upsampler"):
        (tmp_path / f"{part}.safetensors").write_bytes(
            (world["weights"] / f"{part}.safetensors").read_bytes()
        )
    small = ["--steps", 2, "--images", 4, "--batch", 2]
    anyup = ["--kind", "anyup", "--loss", "cosine", "--task-loss", 1]
    assert main(["train-upsampler", *map(str, [*common, *anyup])]) == 2  # three levels are too many
    assert capsys.readouterr().err.endswith("upsampler anyup: 1x2 features (expected: at least 2x2)\n")
    assert main(["train-upsampler", *map(str, common), "--whole", "0.5"]) == 2  # of no example
    assert capsys.readouterr().err.endswith(" (expected: with --larger or --task-loss)\n")
    assert main(["train-upsampler", *map(str, common), "--whole", "50"]) == 2
    assert capsys.readouterr().err.endswith("--whole: 50.0 (expected: 0 to 1)\n")
    shares = []
    part_of = train_upsampler.part_of
    monkeypatch.setattr(
        train_upsampler, "part_of", lambda grid, whole, rng: shares.append(whole) or part_of(grid, whole, rng)
    )
    command("train-upsampler", *common, *small, *anyup, "--levels", 1, "--larger", "--whole", 0.25)
    assert shares == [0.25] * 4  # of two steps: what is learned without labels, and with them
    command("train-upsampler", *common, *small, *anyup, "--levels", 2)
    command("train-upsampler", *common, *small, "--kind", "lift", "--levels", 2, "--larger", "--shifted")
    assert "cosine/1" in {name for row in history(tmp_path / "upsampler-anyup.json") for name in row}
    kinds = ["--kinds", "bilinear", "uplift", "lift", "anyup"]
    command("train-heads", *common, *kinds, "--images", 8, "--pixels", 100, "--steps", 50)
    command(
        "evaluate", "--config", world["config"], "--data", world["seen"], "--weights", tmp_path,
        "--kinds", "anyup", "bilinear", "--report", tmp_path / "report.json", "--show", tmp_path / "show",
    )  # fmt: skip
    picture = np.asarray(Image.open(tmp_path / "show" / "07.png"))[16:]  # below the names
    frame, _, bilinear, truth = np.split(picture.astype(int), 4, axis=1)
    assert np.abs(frame - truth)[:, :-1].max() < 100  # the frames are their labels' colours, and noise
    assert 0.6 < (bilinear == truth).mean() < 1
    values = json.loads((tmp_path / "report.json").read_text())
    for by in (values["heads"]["segmentation"], values["heads"]["depth"], values["cost"]):
        assert list(by) == ["anyup", "bilinear"]


def history(report: Path) -> list[dict[str, float]]:
    return json.loads(report.read_text())["history"]


def test_the_bundle_scores_as_the_readable_model(world: dict[str, Path], tmp_path: Path) -> None:
    common = ["--config", world["config"], "--data", world["seen"]]
    command("export", "--config", world["config"], "--weights", world["weights"], "--output", tmp_path / "b")
    for script in (tmp_path / "b").rglob("*.pt"):
        with zipfile.ZipFile(script) as archive:
            assert not [name for name in archive.namelist() if b".py" in archive.read(name)]
    readable, exported = tmp_path / "readable.json", tmp_path / "exported.json"
    command("evaluate", *common, "--weights", world["weights"], "--report", readable, "--no-cost")
    command(
        "evaluate", *common, "--bundle", tmp_path / "b", "--report", exported, "--show", tmp_path / "show"
    )
    a = json.loads(readable.read_text())["heads"]
    b = json.loads(exported.read_text())["heads"]
    for head, measure in (("segmentation", "meanIoU"), ("segmentation", "boundaryF"), ("depth", "absRel")):
        exported_score, expected = b[head]["cpu-fp32"][0][measure], a[head]["uplift"][0][measure]
        assert exported_score == pytest.approx(expected, abs=1e-3)
    assert Image.open(tmp_path / "show" / "00.png").size == (3 * 128, 64)


def test_reports_hold_both_losses_per_level(world: dict[str, Path]) -> None:
    last = json.loads((world["weights"] / "upsampler.json").read_text())["history"][-1]
    assert {"L2/1", "L2/2", "L2/3", "bilinear/1", "bilinear/2", "bilinear/3", "task"} <= set(last)
    assert Image.open(world["weights"] / "upsampler.png").size[0] > 300
    history = json.loads((world["weights"] / "backbone.json").read_text())["history"]
    assert history[-1]["classes"] < 0.5 * history[0]["classes"]


class StoppedError(Exception):
    """Stands for a run that was killed."""


def test_a_resumed_run_ends_as_an_unbroken_one(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(output: Path, *more: object) -> None:
        command(
            "train-backbone", "--config", world["config"], "--data", world["data"], "--output", output,
            "--batch", 1, "--seed", 3, "--steps", 4, "--save-minutes", 0, *more,
        )  # fmt: skip

    train(tmp_path / "whole")
    update = Training.update

    def stopping(self: Training, *arguments: Any, **numbers: float) -> None:
        if self.step == 2:
            raise StoppedError
        update(self, *arguments, **numbers)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", stopping)
        with pytest.raises(StoppedError):
            train(tmp_path / "broken")
    torch.manual_seed(99)  # the checkpoint decides, not what came before
    train(tmp_path / "broken", "--resume")
    whole, broken = (load_file(tmp_path / d / "backbone.safetensors") for d in ("whole", "broken"))
    for name, expected in whole.items():
        torch.testing.assert_close(broken[name], expected)


def test_the_end_is_learned_with_the_norms_of_inference(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After three of five steps; wherever a run is broken, it ends alike."""

    def train(output: Path, *more: object) -> dict[str, torch.Tensor]:
        output.mkdir(exist_ok=True)
        shutil.copy(world["weights"] / "backbone.safetensors", output)
        command(
            "train-upsampler", "--config", world["config"], "--data", world["data"], "--output", output,
            "--cache", tmp_path / "cache", "--batch", 1, "--images", 12, "--levels", 2, "--steps", 5,
            "--save-minutes", 0, *more,
        )  # fmt: skip
        return load_file(output / "upsampler.safetensors")

    update = Training.update
    learning: list[set[bool]] = []

    def looking(self: Training, *arguments: Any, **numbers: float) -> None:
        norms = [m for m in self.modules["upsampler"].modules() if isinstance(m, torch.nn.BatchNorm2d)]
        learning.append({norm.training for norm in norms})
        update(self, *arguments, **numbers)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", looking)
        whole = train(tmp_path / "whole")
    assert learning == [{True}] * 3 + [{False}] * 2
    seen = {int(value) for name, value in whole.items() if name.endswith("num_batches_tracked")}
    assert seen == {3, 9}, "the twelve images by fours, once in the encoder, three times in the decoder"
    for last in (2, 3, 4):

        def stopping(self: Training, *arguments: Any, last: int = last, **numbers: float) -> None:
            if self.step == last:
                raise StoppedError
            update(self, *arguments, **numbers)

        broken = tmp_path / f"broken-{last}"
        with monkeypatch.context() as patch:
            patch.setattr(Training, "update", stopping)
            with pytest.raises(StoppedError):
                train(broken)
        resumed = train(broken, "--resume")
        for name, expected in whole.items():
            torch.testing.assert_close(resumed[name], expected, msg=f"{name}, broken at {last}")


def test_resume_without_a_checkpoint_says_so(
    world: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", world["config"], "--data", world["data"], "--output", tmp_path, "--resume"]
    assert main(["train-backbone", *map(str, arguments)]) == 2
    assert "backbone.checkpoint.pt: no such file" in capsys.readouterr().err


def test_sampled_and_commuted_features_are_the_readable_models(world: dict[str, Path]) -> None:
    model = DenseModel(ModelConfig.load(world["config"])).eval()
    for part in ("backbone", "upsampler", "heads"):
        getattr(model, part).load_state_dict(load_file(world["weights"] / f"{part}.safetensors"))
    images = torch.randn(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    heads = model.config.heads
    with torch.no_grad():
        features = model.backbone(images)
        uplift = maps_of(model.config, model.upsampler, images, features)
        whole = model(images)
        maps = uplift.head_maps([model.heads[head.name] for head in heads])
        for head, found in zip(heads, maps, strict=True):
            torch.testing.assert_close(found, whole[head.name], atol=1e-4, rtol=0)
        grids = model.upsampler(images, features, 3)
        y, x = torch.tensor([[0, 5, 63], [1, 62, 31]]), torch.tensor([[127, 8, 0], [64, 2, 33]])
        picked = uplift.at(heads[0], y, x)
        expected = torch.stack([grids[2][n, :, y[n], x[n]].T for n in range(2)])
        torch.testing.assert_close(picked, expected, atol=1e-5, rtol=0)
        bilinear = maps_of(model.config, model.config.of_kind("bilinear").upsampler(), images, features)
        plain = torch.nn.functional.interpolate(features, scale_factor=8, mode="bilinear")
        expected = torch.stack([plain[n, :, y[n], x[n]].T for n in range(2)])
        torch.testing.assert_close(bilinear.at(heads[0], y, x), expected, atol=1e-4, rtol=0)


def test_the_training_attender_is_the_readable_one() -> None:
    generator = torch.Generator().manual_seed(1)
    readable, quick = LocalAttender(20, 17), CellAttender(20, 17)
    quick.load_state_dict(readable.state_dict())
    guide = torch.randn(2, 20, 8, 12, generator=generator)
    value = torch.randn(2, 6, 4, 6, generator=generator)
    torch.testing.assert_close(quick(guide, value), readable(guide, value))


def test_labels_and_depth_are_the_frames_at_the_pixel_centres(world: dict[str, Path]) -> None:
    frames = Frames(world["data"], (128, 256), 3)
    batch = frames.batch([(3, frames.whole()), (3, Window(0, 0, 128, 64, flip=True))], (32, 64))
    assert torch.equal(batch.labels[0], torch.from_numpy(frames.labels[3][1::2, 1::2].copy()))
    assert torch.equal(batch.labels[1], batch.labels[0].flip(1))
    known = batch.labels[0] != VOID
    expected = torch.from_numpy(METRES).float()[batch.labels[0][known].long()]
    assert torch.equal(batch.depth[0][known], expected)


def test_patch_targets() -> None:
    labels = torch.full((1, 8, 16), 1, dtype=torch.uint8)
    labels[0, :4, :8], labels[0, 0, 8:] = 2, VOID
    shares = patch_histograms(labels, 8, 3)
    assert shares[0, :, 0, 0].tolist() == [0, 0.5, 0.5]
    assert shares[0, :, 0, 1].tolist() == [0, 0.875, 0]
    depth = torch.zeros(1, 8, 16)
    depth[0, :, :4] = 10.0
    mean, share = patch_log_depths(depth, 8)
    assert mean[0, 0, 0, 0] == pytest.approx(np.log(10.0), abs=1e-5)
    assert share[0, 0, 0].tolist() == [0.5, 0.0]


def test_rare_classes_weigh_more_and_absent_ones_nothing() -> None:
    weights = class_weights(np.array([0.81, 0.09, 0.01, 0.09, 0.0]), balance=0.5)
    assert weights.tolist() == pytest.approx([1 / 3, 1, 3, 1, 0], abs=1e-5)


def test_the_cells_of_a_moved_image_lie_where_they_came_from() -> None:
    """A map that says where it is, read at the cells of an image that was moved by some of its pixels."""
    ramp = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(64.0), indexing="ij"))[None]
    larger = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="bilinear")
    cells = torch.nn.functional.avg_pool2d(move(larger[0], 3, 5)[None], 8)
    y, x = centres((8, 16), torch.tensor([[3 / 8, 5 / 8]]), (32, 64))
    found = ramp[0, :, y[0], x[0]].reshape(2, 7, 15)
    torch.testing.assert_close(found, cells[0, :, :-1, :-1])


def test_features_are_kept_and_used_again(
    world: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(seed: int) -> None:
        command(
            "train-upsampler", "--config", world["config"], "--data", world["data"], "--output",
            world["weights"], "--cache", tmp_path, "--steps", 1, "--images", 4, "--batch", 2, "--seed", seed,
        )  # fmt: skip

    train(5)
    assert len(list(tmp_path.glob("features-*/complete.json"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("uplift_toolkit.pyramid._write", lambda *_: pytest.fail("features were computed again"))
        train(5)
    capsys.readouterr()
    train(6)
    assert len(list(tmp_path.glob("features-*/complete.json"))) == 2
    assert ": seed changed\n" in capsys.readouterr().err
    for features in tmp_path.glob("features-*/plain-1.npy"):
        os.truncate(features, 200)
    train(6)
    assert capsys.readouterr().err.count("made anew: unfinished") == 1
    with monkeypatch.context() as patch:
        patch.setattr("uplift_toolkit.pyramid.code_of", lambda *_: "a later version")
        train(6)
    assert ": other code\n" in capsys.readouterr().err
    label = next((world["data"] / "labels").iterdir())
    content = label.read_bytes()
    Image.fromarray(np.zeros((64, 128), np.uint8)).save(label)
    train(6)
    said = capsys.readouterr().err
    assert f"arrays: made anew: labels/{label.name} changed\n" in said and "other code; other data\n" in said
    label.write_bytes(content)
    train(6)
    said = capsys.readouterr().err
    assert "arrays: made anew: " in said and "features-" not in said  # the data is what it was


def test_another_neighbourhood_starts_with_a_fresh_attender(
    world: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config = ModelConfig.load(world["config"])
    weights = world["weights"] / "upsampler.safetensors"
    wider = dataclasses.replace(config, uplift=uplift_config(16, 8, 9, (4, 8, 8, 8, 8), 8))
    upsampler = DenseModel(wider).upsampler
    start_from(upsampler, weights)
    assert "no attender over 9 neighbours" in capsys.readouterr().out
    loaded = upsampler.state_dict()["decoder.up_1.up.weight"]
    assert torch.equal(loaded, load_file(weights)["decoder.up_1.up.weight"])


def test_images_alone_train_an_upsampler(world: dict[str, Path], tmp_path: Path) -> None:
    """Photographs of mixed sizes in one folder: no labels, no depth."""
    rng = np.random.default_rng(7)
    for i, (width, height) in enumerate([(300, 200), (200, 300), (128, 64), (640, 480)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / f"{i}.png")
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(world["weights"] / "backbone.safetensors", weights)
    common = ["--config", world["config"], "--data", tmp_path, "--output", weights]
    command("train-upsampler", *common, "--steps", 2, "--batch", 2, "--levels", 2, "--larger", "--shifted")
    assert np.load(tmp_path / "arrays-train" / "images.npy", mmap_mode="r").shape == (4, 128, 256, 3)
    assert main(["train-heads", *map(str, common)]) == 2


def test_camvid_and_cityscapes_layouts(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 11]], np.uint8).repeat(8, 0).repeat(8, 1)
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    for split in ("train", "val"):
        for folder in ("images", "labels"):
            (tmp_path / "camvid" / split / folder).mkdir(parents=True)
        image.save(tmp_path / "camvid" / split / "images" / f"{split}.jpg")
        Image.fromarray(labels).save(tmp_path / "camvid" / split / "labels" / f"{split}.png")
    frames = Frames(tmp_path / "camvid", (16, 16), 11, "val")
    assert frames.names == ["val"]
    found = frames.batch([(0, frames.whole())], (16, 16)).labels[0]
    assert found[0, 0] == 0 and found[15, 0] == 2 and found[15, 15] == VOID

    ids = np.array([[7, 24], [4, 33]], np.uint8).repeat(8, 0).repeat(8, 1)  # road, person, static, bicycle
    for kind in ("leftImg8bit", "gtFine"):
        (tmp_path / "city" / kind / "val" / "ulm").mkdir(parents=True)
    image.save(tmp_path / "city/leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png")
    Image.fromarray(ids).save(tmp_path / "city/gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png")
    frames = Frames(tmp_path / "city", (8, 8), 19, "val")
    assert frames.names == ["ulm_000000_000019"]
    found = frames.batch([(0, frames.whole())], (2, 2)).labels[0]
    assert found.tolist() == [[0, 11], [VOID, 18]]


def test_depth_in_metres_and_in_centimetres(tmp_path: Path) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    metres = np.array([[3.5, 0.0], [np.inf, 80.0]]).repeat(4, 0).repeat(4, 1)
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    np.save(tmp_path / "depth" / "a.npy", metres)
    centimetres = np.where(np.isfinite(metres), metres * 100, 0).astype(np.uint16)
    Image.fromarray(centimetres).save(tmp_path / "depth" / "b.png")
    frames = Frames(tmp_path, (8, 8), 2)
    for i in range(2):
        assert frames.batch([(i, frames.whole())], (2, 2)).depth[0].tolist() == [[3.5, 0.0], [0.0, 80.0]]
    with pytest.raises(ValueError, match="no labels/"):
        frames.require("labels")


def test_a_label_that_is_missing_is_named(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(ValueError, match="1 frames without labels, as b"):
        Frames(tmp_path, (8, 8), 2)


def test_a_directory_without_frames_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no frames \(expected: \*.jpg, .*, \*.tga in it"):
        Frames(tmp_path, (8, 8), 2)
