# SPDX-License-Identifier: Apache-2.0
"""Lets one command of this folder use the functions of another."""

import importlib.machinery
import importlib.util
from pathlib import Path


def load(name):
    loader = importlib.machinery.SourceFileLoader(f"kml_{name}", str(Path(__file__).resolve().parent / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
