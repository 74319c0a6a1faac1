"""Long work says where it is, in a log as on a terminal."""

import pytest

from uplift_toolkit import progress


def test_a_log_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.progress(range(3), desc="evaluate", unit="frame")) == [0, 1, 2]
    assert capsys.readouterr().err == ""  # soon over
    monkeypatch.setattr(progress, "SECONDS", 1e-9)
    list(progress.progress(range(3), desc="evaluate", unit="frame"))
    lines = capsys.readouterr().err
    assert "\r" not in lines
    assert [line.split("  00:")[0] for line in lines.splitlines()][-1] == "evaluate  100 %  3 of 3"
    assert len(lines.splitlines()) >= 3
