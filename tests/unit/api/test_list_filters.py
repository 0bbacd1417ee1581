"""Filters in both forms, and how they match."""

import pytest

from orchestrator.api.errors import BadRequest
from orchestrator.api.list_filters import parse_filters


@pytest.mark.parametrize("text", ['{"name":{"a":true,"b":true}}', '{"name":["a","b"]}'])
def test_both_forms_mean_the_same(text: str) -> None:
    assert parse_filters(text).values("name") == ("a", "b")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", '"x"', '{"name":"a"}', '{"name":{"a":1}}', '{"name":[1]}', "[" * 99_999, '{"a":["\\ud800"]}'],
)
def test_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^invalid filter$"):
        parse_filters(text)


def test_an_unknown_filter_is_named() -> None:
    with pytest.raises(BadRequest, match=r"^invalid filter 'nope'$"):
        parse_filters('{"nope":["a"]}').accept(("name",))


def test_absent_filters_match_everything() -> None:
    for text in ("", "{}", '{"name":null}', '{"name":[]}'):
        filters = parse_filters(text)
        assert filters.prefix("name", "web")
        assert filters.exact("name", "web")
        assert filters.labels("label", ())


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [('["a"]', True), ('["a=1"]', True), ('["a=2"]', False), ('["b"]', False), ('["a","b"]', False), ('["c="]', True)],
)
def test_labels(wanted: str, matches: bool) -> None:
    assert parse_filters(f'{{"label":{wanted}}}').labels("label", (("a", "1"), ("c", "x"))) is matches


def test_prefixes_and_exact_values() -> None:
    filters = parse_filters('{"name":["web","db"]}')
    assert filters.prefix("name", "website")
    assert not filters.exact("name", "website")
    assert filters.exact("name", "db")
    assert not filters.prefix("name", "api")


def test_choices_are_checked_in_any_case() -> None:
    filters = parse_filters('{"role":["Manager"]}')
    assert filters.choice("role", ("manager", "worker")) == ("manager",)
    with pytest.raises(BadRequest, match=r"^Invalid role filter: 'manager'$"):
        filters.choice("role", ("worker",))
