from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def swarm_images():
    return {"shop:1": HERE / "shop-1.tar.gz", "shop:2": HERE / "second", "shop:bad": "fresh-project-shop:bad"}
