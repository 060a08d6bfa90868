import subprocess
import sys

import pytest

import discern.online_learning as online_learning


@pytest.mark.parametrize("name", ["OnlineWAERecipe", "online_training", "save_data", "update_model"])
def test_published_names_import(name):
    assert getattr(online_learning, name).__name__ == name
    assert name in dir(online_learning)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'forget'"):
        online_learning.forget  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, discern.online_learning; sys.exit('tensorflow' in sys.modules or 'anndata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
