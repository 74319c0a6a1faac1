"""Builds, trains, checks and exports the model bundles that uplift-stream runs."""

__version__ = "0.1.0"
