"""Marks the tests that train or export a system on phantoms: ``make test`` leaves them to ``make test-training``."""

import pytest

TRAINED = {"trained_folder", "tiny_bundle", "bundles"}
"""Fixtures that train a bundle, in the folder of each system, or that write one of every system to export it."""
FILES = {"test_training.py", "test_experiments.py"}
"""Tests that train for themselves."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "systems" in item.path.parts and (item.path.name in FILES or TRAINED & set(item.fixturenames)):
            item.add_marker("trains")
