"""Read how many bits a stored weight takes from the ``quantization_config`` of a model config.

Tables, norms and the head stay at 16 bits in every method read here; the bits include the scales of groups.
Sources: QLoRA (arXiv:2305.14314, section 3: blocks of 64, 0.5 bits of scales, 0.127 when they are quantised again);
GPTQ and AWQ (one 16-bit scale and one zero of the weight's own bits a group); FP8 in blocks of 128 x 128
(arXiv:2412.19437, section 3.3); OCP microscaling formats 1.0 (blocks of 32 with an 8-bit scale); NVFP4 as the Model
Optimizer stores it (NeMo AutoModel's documentation of components/quantization/nvfp4: 0.5625 bytes, an 8-bit scale for
16 weights); compressed-tensors and Quanto by their own fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote
from scaleplan.models.tuning import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.models.count import Count

__all__ = ["Quantization", "quantization_of"]

_NAMED_BITS = {"int8": 8, "int4": 4, "int2": 2, "float8": 8, "qint8": 8, "qint4": 4, "qint2": 2, "qfloat8": 8}
_FLOATS = {"NVFP4": STORED["nvfp4"], "W4A16_NVFP4": STORED["nvfp4"], "FP8": STORED["fp8"]}
"""Bits of a weight, scales included, by the Model Optimizer's names."""
_ALWAYS = {"mxfp4": 4 + 8 / 32, "eetq": 8}
"""Bits of a weight of methods without settings."""
_ATTENTION = re.compile(r"attn\W*$")
_SHARED = re.compile(r"shared_experts?\W*$")
_TOWER = re.compile(r"vis|audio")
_FLOAT4 = 4
_WIDEST = 16
_FIELDS = ("bits", "w_bit", "nbits", "num_bits")
_GROUPS = ("group_size", "q_group_size")


@dataclass(frozen=True, slots=True)
class Quantization:
    """Bits of a stored weight, scales included, and the method that packs it."""

    method: str
    bits: float
    experts_only: bool = False
    """Whether only the routed experts are packed (gpt-oss, Kimi K2.5)."""
    attention_kept: bool = False
    """Whether attention stays at 16 bits (most NVFP4 checkpoints)."""
    unread: FileError | None = None
    """Why the bits are unknown: no error for a model that is counted or trained, or served in bits that are given."""

    def weight_bytes(self, counts: Count) -> float:
        """Return the mean bytes of a weight: packed ones by :attr:`bits`, tables, norms and the head at 16 bits.

        Raises FileError when the config does not tell the bits.
        """
        if self.unread is not None:
            raise self.unread
        packed = counts.expert_params
        if not self.experts_only:
            packed += counts.ffn_params
            packed += 0 if self.attention_kept else counts.attention_params
        return (packed * self.bits / 8 + 2.0 * (counts.params - packed)) / counts.params


def quantization_of(data: Mapping[str, object], *, source: str) -> Quantization | None:
    """Return how a config's weights are stored, None where it states nothing.

    A way whose bits cannot be read is returned as :attr:`~Quantization.unread`.
    """
    table = data.get("quantization_config")
    if not table:
        return None
    if not isinstance(table, dict):
        return _unreadable("unknown", source, f"quantization_config is {quote(table)}, not a table")
    method = str(table.get("quant_method") or _unnamed(table))
    bits = _bits_of(method, table)
    if bits is None:
        what = f"quantization_config of {quote(method)}: the bits of a weight cannot be read"
        return _unreadable(method, source, what)
    name = f"{method} {table['quant_algo']}" if method == "modelopt" else method
    attention, shared = _ignores(_ATTENTION, table), _ignores(_SHARED, table)
    return Quantization(
        name, bits, experts_only=method == "mxfp4" or (attention and shared), attention_kept=attention
    )


def _bits_of(method: str, table: Mapping[str, object]) -> float | None:
    """Return the bits of a weight, scales included; None where they cannot be read."""
    bits: float | None = _ALWAYS.get(method)
    if method in {"fp8", "fbgemm_fp8", "finegrained_fp8"}:
        bits = 8 + _block_scale(table)
    elif method in {"bitsandbytes", "bitsandbytes_4bit", "bitsandbytes_8bit"}:
        bits = _bitsandbytes(table)
    elif method == "modelopt":
        bits = _FLOATS.get(str(table.get("quant_algo")))
    elif method == "quanto":
        bits = _NAMED_BITS.get(str(table.get("weights")))
    elif method in {"gptq", "awq", "hqq", "compressed-tensors", "auto-round", "intel/auto-round", "gptqmodel"}:
        sizes = {_grouped(group) for group in _groups(table)}
        bits = sizes.pop() if len(sizes) == 1 else None
    return bits


def _ignores(part: re.Pattern[str], table: Mapping[str, object]) -> bool:
    """Tell whether ``ignore`` names this part of the text model as a whole, as in ``re:.*self_attn.*``."""
    ignored = table.get("ignore")
    names = ignored if isinstance(ignored, list) else []
    return any(part.search(name) and not _TOWER.search(name) for name in names if isinstance(name, str))


def _unreadable(method: str, source: str, what: str) -> Quantization:
    hint = "state them: --weight-bits 4 (16 for weights that are unpacked)"
    return Quantization(method, _WIDEST, unread=FileError(f"{source}: {what}", hint=hint))


def _unnamed(table: Mapping[str, object]) -> str:
    if table.get("load_in_4bit") or table.get("load_in_8bit"):
        return "bitsandbytes"
    return "gptq" if any(key in table for key in _FIELDS) else "unnamed"


def _bitsandbytes(table: Mapping[str, object]) -> float | None:
    """Return the bits of a weight; None where it is loaded neither in 4 nor in 8 bits."""
    if table.get("load_in_4bit") or table.get("_load_in_4bit"):
        return STORED["nf4-dq" if table.get("bnb_4bit_use_double_quant") else "nf4"]
    if table.get("load_in_8bit") or table.get("_load_in_8bit"):
        return STORED["int8"]
    return None


def _block_scale(table: Mapping[str, object]) -> float:
    block = table.get("weight_block_size")
    if isinstance(block, list) and len(block) == 2 and all(isinstance(n, int) and n > 0 for n in block):
        return 32 / (block[0] * block[1])
    return 0.0


def _groups(table: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the tables that state bits: the config itself, or the weights of each group of layers."""
    groups = table.get("config_groups")
    if isinstance(groups, dict):
        for group in groups.values():
            weights = group.get("weights") if isinstance(group, dict) else None
            yield weights if isinstance(weights, dict) else {}
        return
    nested = table.get("quant_config")
    inner = nested.get("weight_quant_params") if isinstance(nested, dict) else None
    yield inner if isinstance(inner, dict) else table


def _grouped(table: Mapping[str, object]) -> float | None:
    """Return the bits of a weight with its share of a group's scale and zero; None where not stated.

    Floating-point weights and symmetric ones of compressed-tensors have no zero; 4-bit floats have an 8-bit scale.
    """
    bits = next((table[key] for key in _FIELDS if key in table), None)
    size = next((table[key] for key in _GROUPS if table.get(key) is not None), -1)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= _WIDEST:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        return None
    if table.get("type") == "float":
        scale = 8 if bits == _FLOAT4 else 16
    else:
        scale = 16 if table.get("symmetric") is True else 16 + bits
    return bits + (scale / size if size > 0 else 0.0)
