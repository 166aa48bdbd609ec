"""What a fit tells on a terminal."""

from __future__ import annotations

import pytest

from bayesexpr.progress import Silent, Terminal


def test_lines_and_one_bar_over_all_chains(capsys: pytest.CaptureFixture[str]) -> None:
    news = Terminal(2)
    news.say("compiling")
    for iteration in (50, 100):
        for chain in (1, 2):
            news.sampling(chain, iteration, 100, iteration == 50)
    news.say("done")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("compiling\n")
    assert "200/200" in err
    assert err.endswith("done\n")
    news.close()


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    news = Silent()
    news.say("compiling")
    news.sampling(1, 1, 2, True)
    news.close()
    assert capsys.readouterr() == ("", "")
