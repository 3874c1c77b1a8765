from pathlib import Path

import pytest
from tiny_data import write_data


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus-data")
    write_data(folder)
    return folder
