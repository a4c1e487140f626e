"""``design --pool`` on the command line: standard input, CSV, and options that contradict each other."""

import csv
import io
import sys

import pytest


@pytest.fixture
def pool(tmp_path):
    """Write a pool of candidates: sizes on 5 to 80 tokens per parameter."""
    rows = ["name,params,tokens"]
    rows += [f"r{n}x{r},{n}000000,{n * r}000000" for n in (20, 40, 80, 160, 320) for r in (5, 10, 20, 40, 80)]
    path = tmp_path / "pool.csv"
    path.write_text("\n".join(rows))
    return path


def test_a_pool_on_standard_input_is_read_once(cli, pool, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pool.read_bytes())))
    found = cli("design", "--pool", "-", "--flops", "5%", "--format", "csv")
    assert (found.status, found.err) == (0, "")
    chosen = list(csv.DictReader(found.out.splitlines()))
    assert list(chosen[0]) == ["row", "name", "params", "tokens"]
    lines = pool.read_text().splitlines()
    assert all(lines[int(row["row"]) - 1] == ",".join([row["name"], row["params"], row["tokens"]]) for row in chosen)


@pytest.mark.parametrize(
    "words",
    [
        "--seeds 2",
        "--schedule wsd",
        "--aim loss",
        "--form three_exponent",
        "--run-cost 1%",
        "--cooldown 0.3",
        "--tied",
    ],
)
def test_what_is_about_a_law_is_refused_with_a_pool(cli, pool, words):
    found = cli("design", "--pool", str(pool), "--flops", "5%", *words.split())
    assert found.status == 2
    assert f"{words.split()[0]} is about a law" in found.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--flops 1e20 --target 1e22 --inputs lr", "--inputs is about a pool"),
        ("--flops 1e20 --target 1e22 --pool-cost lr", "--pool-cost is about a pool"),
        ("--flops 1e20", "a design needs a target"),
        ("--flops 5% --target 1e22", "5%"),
    ],
)
def test_what_is_about_a_pool_is_refused_without_one(cli, words, said):
    found = cli("design", *words.split())
    assert found.status == 2
    assert said in found.err


def test_the_candidates_are_shown_by_their_names(cli, pool):
    """A name is no input, and what people start a run by."""
    found = cli("design", "--pool", str(pool), "--flops", "5%").out
    rows = [line.split() for line in found.splitlines()[2:]]
    assert rows[0] == ["row", "name", "params", "tokens", "cost"]
    assert rows[1][1].startswith("r")
