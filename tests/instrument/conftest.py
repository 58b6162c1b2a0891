import importlib.util

import pytest


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("ibex_bluesky_core") is not None:
        return
    absent = pytest.mark.skip(reason="ibex-bluesky-core is not installed: `make test` does that")
    for item in items:
        if item.get_closest_marker("instrument"):
            item.add_marker(absent)
