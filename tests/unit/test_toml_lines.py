import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.toml_lines import key_lines, nearest_line

DOCUMENT = '''\
# a comment with = and [brackets]
top = "a # b"
[data]
"quoted key" = 'x = 1'
a.b = {c = 1, "d.e" = [2,
  3], f = {g = """
multi = "line" ]
"""}}
text = """one \\""" = 2
"""
dates = 2026-01-01T00:00:00Z
[[data.checks]]
name = "first"
[data.checks.more]
deep = [[1, 2], [3,
4]]
[[data.checks]]
name = "second" # comment
'''


def test_every_kind_of_key_is_found_on_its_line():
    tomllib.loads(DOCUMENT)
    lines = key_lines(DOCUMENT)
    expected = {
        ("top",): 2,
        ("data",): 3,
        ("data", "quoted key"): 4,
        ("data", "a"): 5,
        ("data", "a", "b", "c"): 5,
        ("data", "a", "b", "d.e"): 5,
        ("data", "a", "b", "d.e", 1): 6,
        ("data", "a", "b", "f", "g"): 6,
        ("data", "text"): 9,
        ("data", "dates"): 11,
        ("data", "checks", 0): 12,
        ("data", "checks", 0, "name"): 13,
        ("data", "checks", 0, "more", "deep", 1, 1): 16,
        ("data", "checks", 1, "name"): 18,
    }
    assert expected == {path: lines[path] for path in expected}


def test_what_is_not_in_the_text_stands_where_its_table_does():
    lines = key_lines("[a]\nb = 1\n[c]\n")
    assert nearest_line(lines, ("c", "missing")) == 3
    assert nearest_line(lines, ("nowhere", "missing")) == 1


def _paths(value, path=()):
    """Every path of a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


VALUES = st.recursive(
    st.sampled_from(
        ["1", "-2.5e3", "true", '"a # ] } , = b"', "'\\'", '"\\""', '"""x\n"y""""', "'''\n=\n'''", "07:32:00"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",\n ".join(parts) + "]")
        | st.lists(inner, max_size=3).map(
            lambda parts: "{" + ", ".join(f"k{i} = {v}" for i, v in enumerate(parts)) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=6))
def test_the_scan_finds_exactly_the_paths_that_tomllib_reads(pairs):
    text = ""
    for number, (heads, value) in enumerate(pairs):
        text += f"[t{number}]\n" if heads else ""
        text += f'key{number} . "x y" = {value} # note\n'
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        pytest.fail(f"not TOML: {text!r}")
    assert set(_paths(document)) == set(key_lines(text))
