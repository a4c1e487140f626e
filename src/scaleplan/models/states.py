"""What does training keep for every parameter? Weights, gradients and optimizer states, and how they are shared.

ZeRO (Rajbhandari et al. 2019, arXiv:1910.02054) shares them over n data-parallel devices in stages: 1 the optimizer
states, 2 also the gradients, 3 (what FSDP does) also the weights. With bytes (w, g, o) a parameter takes w + g + o,
w + g + o/n, w + (g + o)/n, or (w + g + o)/n.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaleplan.errors import UnknownNameError, UsageError

__all__ = ["DEFAULT_STATES", "STATES", "States", "states_of"]

DEFAULT_STATES = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Bytes per parameter of one way to train, and who says so."""

    name: str
    weights: float
    gradients: float
    optimizer: float
    title: str
    source: str

    @property
    def total(self) -> float:
        """Bytes per parameter on one device that shares nothing."""
        return self.weights + self.gradients + self.optimizer

    def shared(self, stage: int, devices: float) -> tuple[float, float, float]:
        """Return the bytes of weights, gradients and optimizer states per parameter on each of some devices.

        Raises
        ------
        UsageError
            For a stage that is not 0, 1, 2 or 3.

        """
        if stage not in {0, 1, 2, 3}:
            raise UsageError(f"there is no ZeRO stage {stage}", hint="stages are 0, 1, 2 and 3; FSDP is 3")
        return (
            self.weights / (devices if stage >= 3 else 1),
            self.gradients / (devices if stage >= 2 else 1),
            self.optimizer / (devices if stage >= 1 else 1),
        )


def _row(name: str, sizes: tuple[float, float, float], title: str, source: str) -> States:
    weights, gradients, optimizer = sizes
    return States(name=name, weights=weights, gradients=gradients, optimizer=optimizer, title=title, source=source)


_MEGATRON = "Megatron-LM, distributed optimizer"

STATES = {
    row.name: row
    for row in (
        _row(
            "mixed", (2, 2, 12), "16-bit weights and gradients, fp32 master and Adam", "ZeRO, arXiv:1910.02054, 3.1"
        ),
        _row("mixed-fp32-grads", (2, 4, 12), "16-bit weights, fp32 gradients, master and Adam", _MEGATRON),
        _row("mixed-fp16-megatron", (2, 2, 16), "fp16 weights and gradients with fp32 copies of both", _MEGATRON),
        _row("fp32", (4, 4, 8), "all in fp32, Adam", "two fp32 moments beside fp32 weights and gradients"),
        _row("bf16", (2, 2, 4), "all in bf16, Adam without a master copy", "two bf16 moments"),
        _row("8bit-adam", (2, 2, 6), "as mixed, with 8-bit moments", "Dettmers et al. 2021, arXiv:2110.02861"),
        _row(
            "momentum", (2, 2, 8), "as mixed, with one fp32 moment: SGD or Muon", "one moment instead of Adam's two"
        ),
        _row("fp8", (1, 4, 8), "fp8 weights, fp32 gradients and master, bf16 moments", "arXiv:2412.19437, 3.3"),
        _row("offload", (2, 2, 0), "as mixed, optimizer in host memory (slow)", "ZeRO-Offload, arXiv:2101.06840"),
    )
}
"""The ways to train, by name."""


def states_of(name: str) -> States:
    """Return the bytes per parameter of a way to train.

    Raises
    ------
    UnknownNameError
        When there is none of this name.

    """
    if name not in STATES:
        raise UnknownNameError("way to keep the training states", name, STATES)
    return STATES[name]
