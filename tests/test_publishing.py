"""What is published: one version everywhere, a citation, and workflows that publish what they have tested."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from scaleplan.version import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSIONS = ["3.11", "3.12", "3.13", "3.14"]


def workflow(name):
    """Read a workflow; YAML takes its key ``on`` for a truth value."""
    found = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return found | {"on": found.get(True, found.get("on"))}


def test_the_changelog_begins_with_this_version_or_what_is_not_released():
    """Versions go down, each with its date (Keep a Changelog)."""
    heads = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert heads[0] == "[Unreleased]" or heads[0].startswith(f"[{__version__}] - ")
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", head) for head in heads]
    assert all(released[1:])
    numbers = [tuple(map(int, found.groups())) for found in released if found]
    assert numbers == sorted(set(numbers), reverse=True)
    assert not numbers or ".".join(map(str, numbers[0])) == __version__


def test_the_citation_is_of_this_version():
    """With the keys that the Citation File Format 1.2.0 requires, and the licence of the project."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["version"] == citation["preferred-citation"]["version"] == __version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["url"] == PROJECT["project"]["urls"]["Documentation"]


def test_every_version_of_python_that_is_promised_is_tested():
    """In the matrix, in the classifiers, and from the lowest on."""
    matrix = workflow("ci.yml")["jobs"]["checks"]["strategy"]["matrix"]["python"]
    classified = [each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if "Python :: 3." in each]
    assert matrix == classified == VERSIONS
    assert PROJECT["project"]["requires-python"] == f">={VERSIONS[0]}"


def test_the_lowest_versions_that_are_tested_are_those_that_are_promised():
    """PyArrow's too: a newer one does not work with the lowest NumPy."""
    steps = workflow("ci.yml")["jobs"]["lowest"]["steps"]
    tested = dict(re.findall(r"'(\w+)==([\d.]+)'", " ".join(step.get("run", "") for step in steps)))
    promised = dict(each.split(">=") for each in PROJECT["project"]["dependencies"])
    promised |= dict(each.split(">=") for each in PROJECT["project"]["optional-dependencies"]["tables"])
    assert {"numpy", "scipy", "pyarrow"} <= tested.keys() <= promised.keys()
    assert all(f"{version}.".startswith(f"{promised[name]}.") for name, version in tested.items())


def test_a_release_is_built_once_tested_and_then_published_without_a_password():
    """What is published are the files that were tested, and only that job may ask for an identity."""
    release = workflow("release.yml")
    jobs = release["jobs"]
    assert release["permissions"] == {"contents": "read"}
    assert (jobs["test"]["needs"], jobs["publish"]["needs"]) == ("build", "test")
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["publish"]
    used = {name: [step.get("uses", "").partition("@")[0] for step in job["steps"]] for name, job in jobs.items()}
    assert "actions/download-artifact" in used["test"]
    assert used["publish"][-2:] == ["actions/attest-build-provenance", "pypa/gh-action-pypi-publish"]
    assert not any("build" in step.get("run", "") for name in ("test", "publish") for step in jobs[name]["steps"])
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text(encoding="utf-8")


def test_the_source_distribution_takes_every_file():
    """Whatever is kept under version control is in one of the places that it includes."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not listed:
        pytest.skip("there is no repository here")
    places = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    included = tuple(place.removeprefix("/") for place in places)
    left = [name for name in listed if not any(name == place or name.startswith(f"{place}/") for place in included)]
    assert left in ([], ["pyproject.toml"])  # which is always there
