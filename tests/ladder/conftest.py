"""One cluster for the tests of this folder."""

from tests.ladder.slurm_cluster import slurm

__all__ = ["slurm"]
