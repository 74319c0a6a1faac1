"""Makes resize.pt and matrix-peak.pt, the graphs of BilinearResize.java and MatrixPeak.java, with PyTorch 2.13."""

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

RESOURCES = Path(__file__).parent.parent / "resources/io/upliftstream/model"


class Resize(nn.Module):
    """Resizes an image as Pillow does, turns it upright, and places it on the model's input."""

    def forward(self, image: Tensor, place: Tensor, frame: Tensor) -> Tensor:
        """
        image u8[h,w,3] as it is stored. place f64[7]: how many of its rows and of its columns are image (the last may
        count in part), its EXIF orientation, and its left, top, width and height on the frame. frame u8[H,W,3], filled.
        """
        orientation = int(place[2])
        left, top, width, height = int(place[3]), int(place[4]), int(place[5]), int(place[6])
        turned = orientation >= 5
        rows, columns = (width, height) if turned else (height, width)
        down, across = rows / float(place[0]), columns / float(place[1])
        pixels = image.permute(2, 0, 1).unsqueeze(0)
        if orientation == 1 and height == frame.size(0) and width == frame.size(1):
            # Straight into the frame: nothing is copied.
            out = frame.permute(2, 0, 1).unsqueeze(0)
            torch._C._nn._upsample_bilinear2d_aa(pixels, [rows, columns], False, down, across, out=out)
            return frame
        small = torch._C._nn._upsample_bilinear2d_aa(pixels, [rows, columns], False, down, across)
        upright = small.squeeze(0).permute(1, 2, 0)
        if orientation in [2, 3, 7, 8]:
            upright = upright.flip([1])
        if orientation in [3, 4, 6, 7]:
            upright = upright.flip([0])
        if turned:
            upright = upright.transpose(0, 1)
        frame.fill_(114)  # mid-grey, near the mean of the images that backbones are trained on
        frame.narrow(0, top, height).narrow(1, left, width).copy_(upright)
        return frame


class MatrixPeak(nn.Module):
    """One matrix product after the other."""

    def forward(self, size: Tensor) -> Tensor:
        """size i64[3]: side of the matrices, products, and precision: 0 fp32, 1 bf16, 2 fp16. Gives one number."""
        products = int(size[1])
        if products == 0:
            return size
        dtype = [torch.float32, torch.bfloat16, torch.float16][int(size[2])]
        side = int(size[0])
        a = torch.full([side, side], 0.5, device=size.device).to(dtype)
        b = torch.full([side, side], 0.5, device=size.device).to(dtype)
        c = torch.empty_like(a)
        for _ in range(products):
            torch.mm(a, b, out=c)
        return c[0, :1].float()


def save(module: torch.jit.ScriptModule, path: Path) -> None:
    """Writes TorchScript without its debug records, which name the files of the machine."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                entry.date_time = (1980, 1, 1, 0, 0, 0)
                target.writestr(entry, source.read(entry))


if __name__ == "__main__":
    RESOURCES.mkdir(parents=True, exist_ok=True)
    save(torch.jit.script(Resize().eval()), RESOURCES / "resize.pt")
    save(torch.jit.script(MatrixPeak().eval()), RESOURCES / "matrix-peak.pt")
