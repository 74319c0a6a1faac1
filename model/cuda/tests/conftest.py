"""Loads the operators: the library that UPLIFT_OPERATORS names, or the one that `check` builds."""

import os
from pathlib import Path

import torch

LIBRARY = Path(__file__).parent.parent / "target" / "cpu" / "libuplift_operators.so"
torch.ops.load_library(os.environ.get("UPLIFT_OPERATORS", LIBRARY))
