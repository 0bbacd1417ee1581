from pathlib import Path

import pytest

SHOPPERS = Path(__file__).with_name("shoppers.py")

pytestmark = [pytest.mark.cluster, pytest.mark.loss_budget(lost=0)]


@pytest.mark.parametrize("version", ["2", "bad"])
def test_update_loses_nothing(swarm, load, version):
    shop = swarm.deploy("shop:1", command=["/shop"], replicas=2, publish={8080: 8080}, order="start-first")

    with load(shop, locustfile=SHOPPERS, users=5, duration=12) as run:
        shop.update(image=f"shop:{version}")

    assert run.versions == {"1", version}
