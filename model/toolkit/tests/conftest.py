from pathlib import Path

import pytest
import torch
from torch import nn

from uplift_toolkit.uplift import LayerNorm

torch.set_num_threads(1)  # the maps are tiny: threads would only wait for each other

PARITY = Path(__file__).parent / "resources" / "parity"


@pytest.fixture(autouse=True)
def repeatable():
    torch.manual_seed(0)


def randomise(module: nn.Module) -> nn.Module:
    """Weights and statistics of a module in evaluation mode that leave no term at its neutral value."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm | LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()
