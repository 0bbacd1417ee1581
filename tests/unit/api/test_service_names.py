"""Names for services without one."""

from orchestrator.api.service_names import name_for
from orchestrator.control.service_validation import _NAME
from orchestrator.identity import new_id


def test_names_are_valid_and_free() -> None:
    for _ in range(100):
        service_id = new_id()
        name = name_for(service_id, taken=())
        assert _NAME.fullmatch(name)
        other = name_for(service_id, taken=(name,))
        assert other != name
        assert _NAME.fullmatch(other)
