"""Server versions: which features each has, and that the box, both ports and the CLI follow."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from panda_simulator.simulator import Simulator
from panda_simulator.versions import FIRST_VERSIONS, NEWEST, Features, features_of


def test_the_newest_version_has_every_feature():
    assert features_of(NEWEST) == Features()
    assert all(asdict(Features()).values())


def test_the_oldest_version_has_none():
    assert not any(asdict(features_of("2.0")).values())


@pytest.mark.parametrize(("name", "first"), FIRST_VERSIONS.items())
def test_a_feature_is_there_from_its_first_version_on(name, first):
    assert getattr(features_of(first), name)
    order = [
        "2.0",
        "2.0.2",
        "2.1",
        "3.0a1",
        "3.0a2",
        "3.0b1",
        "3.0b2",
        "3.0",
        "3.1b1",
        "4.0",
        "4.1",
    ]
    known = [getattr(features_of(version), name) for version in order]
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("version", "like"),
    [
        ("2.0.1", "2.0"),
        ("2.9", "2.1"),
        ("3.0a3", "3.0a2"),
        ("3.0b2", "3.0"),
        ("3.1", "4.0"),
        ("4.0-12-gabc1234-dirty", "4.0"),
        ("4.1-dirty", "4.1"),
        ("10.0", "4.1"),
    ],
)
def test_a_version_between_behaves_like_the_features_it_has(version, like):
    assert features_of(version) == features_of(like)


def test_versions_that_follow_each_other_differ():
    versions = ["2.0", "2.1", "3.0a1", "3.0a2", "3.0b1", "3.0", "3.1b1", "4.1"]
    assert len({features_of(version) for version in versions}) == len(versions)


@pytest.mark.parametrize("version", ["1.1", "2.0a1", "2.0b1", "0.4"])
def test_an_older_version_is_refused_in_one_line(version):
    with pytest.raises(ValueError, match=r"is not simulated: 2\.0 is the oldest") as error:
        Simulator(server_version=version)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "version", ["", "4", "v4.1", "4.1 ", "4.1\n", "four", "4.1c1", "\u0664.1", "4.-1"]
)
def test_a_malformed_version_is_refused_in_one_line(version):
    with pytest.raises(ValueError, match="is malformed: give one like") as error:
        Simulator(server_version=version)
    assert "\n" not in str(error.value)
