"""The picture of ratios: well-formed, whole, the same each time, and refused without ratios."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import plot
import pytest

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = {
    "q4_0": [
        ("load_s", 1.47, 1.19, 1.91),
        ("prefill_512_tok_s", 3.52, 3.47, 3.69),
        ("decode_tok_s", 2.07, 2.06, 2.09),
    ],
    "a<b&c": [("decode_behind_4096_tok_s", 0.63, 0.5, 0.71)],
}


def write(path: Path) -> Path:
    def figure(measure: str, median: float, least: float, most: float) -> dict:
        return {
            "measure": measure,
            "ratio": {"median": median, "least": least, "most": most},
        }

    alone = {"measure": "decode_4_slots_tok_s", "ours": {"median": 9, "least": 8, "most": 10}}
    formats = {
        name: {"figures": [*(figure(*values) for values in found), alone]}
        for name, found in FIGURES.items()
    }
    report = {
        "date": "2026-11-27",
        "machine": {"processor": "One & Only"},
        "peer": "llama.cpp",
        "threads": 2,
        "formats": formats,
    }
    path.write_text(json.dumps(report))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["plot.py", *map(str, arguments)])
    plot.main()


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ElementTree.Element:
    run(monkeypatch, write(tmp_path / "in.json"), tmp_path / "out.svg")
    return ElementTree.fromstring((tmp_path / "out.svg").read_bytes())


def test_every_ratio_is_drawn_and_written(picture: ElementTree.Element):
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    expected = [values for found in FIGURES.values() for values in found]
    for measure, median, least, most in expected:
        at = texts.index(measure)
        assert texts[at + 1] == f"{median:.2f} ({least:.2f} to {most:.2f})"
    assert [t for t in texts if t and " against " in t] == [
        f"{name} against llama.cpp" for name in FIGURES
    ]
    assert "decode_4_slots_tok_s" not in texts
    assert len(list(picture.iter(f"{SVG}rect"))) == len(expected)


def test_bars_and_whiskers_are_to_scale(picture: ElementTree.Element):
    unit = [
        float(path.get("d", "").split()[0][1:])
        for path in picture.iter(f"{SVG}path")
        if path.get("class") == "one"
    ]
    one = unit[0] - plot.LEFT
    expected = [values for found in FIGURES.values() for values in found]
    whiskers = [p for p in picture.iter(f"{SVG}path") if p.get("class") == "whisker"]
    for values, rect, whisker in zip(expected, picture.iter(f"{SVG}rect"), whiskers, strict=True):
        _, median, least, most = values
        assert float(rect.get("width", "")) == pytest.approx(median * one, abs=0.4)
        low = re.match(r"M([\d.]+) ", whisker.get("d", ""))
        high = re.search(r"H([\d.]+)M", whisker.get("d", ""))
        assert low
        assert high
        assert float(low[1]) - plot.LEFT == pytest.approx(least * one, abs=0.4)
        assert float(high[1]) - plot.LEFT == pytest.approx(most * one, abs=0.4)
        assert float(high[1]) <= plot.RIGHT


def test_the_same_files_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = write(tmp_path / "in.json")
    for name in ("a.svg", "b.svg"):
        run(monkeypatch, file, file, tmp_path / name)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert b"<script" not in first
    assert b"prefers-color-scheme: dark" in first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not what --json of a comparison writes"),
        ('{"formats": {}}', "not what --json of a comparison writes"),
        (
            '{"machine": {"processor": "x"}, "threads": 1, "date": "d", "peer": "p",'
            ' "formats": {"q4_0": {"figures": []}}}',
            "no figure with a ratio",
        ),
    ],
)
def test_a_file_without_ratios_is_refused_and_nothing_written(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "in.json").write_text(text)
    with pytest.raises(SystemExit, match=said):
        run(monkeypatch, tmp_path / "in.json", tmp_path / "out.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


@pytest.mark.parametrize("most", [0.03, 0.9, 1.0, 3.7, 8.0, 41.0, 900.0])
def test_the_scale_has_at_most_eight_parts_and_reaches_the_most(most: float):
    every = plot.tick(most)
    assert most / 8 <= every <= most / 8 * 2.51
