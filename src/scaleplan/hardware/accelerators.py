"""The accelerators: peak rates, memory and power of each from ``accelerators.toml``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, UnknownNameError, UsageError, quote
from scaleplan.files import read_data, read_table, require_schema
from scaleplan.record import Result
from scaleplan.units import GIGA, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.hardware.prices import Price
    from scaleplan.toml_table import Table

__all__ = [
    "BASES",
    "FILE_ENDING",
    "PRECISIONS",
    "STATUSES",
    "Accelerator",
    "AcceleratorList",
    "Accelerators",
    "PricedAccelerator",
    "read_accelerator",
]

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8")

_MAKERS = (
    *("nvidia", "geforce", "tesla", "amd", "instinct", "radeon", "intel"),
    *("google", "aws", "apple", "huawei", "cerebras"),
)

BASES = ("design", "estimated", "measured maximum")

STATUSES = ("verified", "partly verified")

_TERA = 1e12

FILE_ENDING = ".toml"
"""The end of what names a file of one accelerator in place of an id."""

_OWN = "one of your own: --gpu FILE.toml, which 'scaleplan gpus validate FILE.toml' checks"

_GIBI = 2.0**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device by its maker's figures and independent tables.

    Rates are dense, with fp32 accumulation: never the 2:4-sparse headline, nor the doubled rate of consumer
    cards with fp16 accumulation.
    """

    schema: ClassVar[str] = "scaleplan/gpu/1"

    id: str
    name: str
    aliases: tuple[str, ...]
    vendor: str
    year: int
    form: str
    """The package, such as ``SXM`` or ``PCIe``."""
    memory_bytes: float
    bandwidth: float
    """Bytes per second of the memory."""
    tdp_w: float | None
    """Thermal design power in watts, without the host; ``tdp_basis`` says where it is something else.

    None where it is not published.
    """
    tdp_estimated: bool
    link: str
    link_bandwidth: float | None
    """Bytes per second of the scale-up link, in both directions together."""
    peaks: Mapping[str, float]
    """Peak rate in FLOP/s by precision (OP/s for int8); empty where none is published."""
    sparse_headline: bool
    """Whether the advertised figure is a sparse one, twice the dense."""
    utilisation_class: str | None
    """The row of the utilisation table; None when there is no default."""
    class_by_likeness: bool
    """Whether the evidence of that row comes from similar devices only."""
    sources: tuple[str, ...]
    as_of: str
    note: str
    origin: str
    tdp_basis: str = "design"
    """``design``, ``estimated``, or ``measured maximum`` where no design power is published."""
    power_w: float | None = None
    """Mean watts of the chip alone, as measured in training; None where only the design power is known."""
    host_power_w: float | None = None
    """Mean watts of the host for each chip, as measured; None where it is estimated from the chip's."""
    power_source: str = ""
    link_devices: int = 8
    """Devices that the scale-up link joins, or those of a server: tensor parallelism stays within them."""
    status: str = "verified"
    """``verified`` or ``partly verified``: whether the 16-bit peak, memory and bandwidth have two sources."""
    unified_memory: bool = False
    """Whether the processor and the system take their part of the same memory."""

    def precision(self, name: str | None = None) -> str:
        """Return the precision whose peak counts, by default bf16, or fp16 where there is no bf16.

        Training in "fp32" runs its matrix products in tf32 where the device has it, so fp32 means tf32 there. Raises
        UsageError for a precision that the device does not support, and where no peak is published.
        """
        if not self.peaks:
            raise UsageError(
                f"no peak rate of {self.id} is published, so time and cost cannot be computed",
                hint="'scaleplan memory' works; a peak that you know goes into an accelerators.toml of your own",
            )
        for usual in ("bf16", "fp16", "fp32") if name is None else ():
            # where lower precisions have a peak, a 16-bit one exists and is not published: fp32 would pass for it
            if usual in self.peaks and (usual != "fp32" or not self.peaks.keys() & {"fp8", "fp4"}):
                return usual
        wanted = (name or "bf16").strip().casefold()
        if wanted == "fp32" and "tf32" in self.peaks:
            return "tf32"
        if wanted not in self.peaks:
            raise UsageError(
                f"{self.id} has no known peak in {quote(wanted)}", hint=f"it has: {', '.join(self.peaks)}"
            )
        return wanted

    def peak(self, precision: str | None = None) -> float:
        """Return the dense peak in FLOP/s of a precision, chosen by :meth:`precision`."""
        return self.peaks[self.precision(precision)]

    def priced(self, price: Price | None) -> PricedAccelerator:
        """Return the device with its default price."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        if price is None:
            return PricedAccelerator(**own, default_usd_per_hour=None)
        return PricedAccelerator(
            **own, default_usd_per_hour=price.usd_per_hour, price_date=price.date, price_source=price.source
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedAccelerator(Result, Accelerator):
    """A GPU with its default price in USD for an hour, and whose and when; None where there is none."""

    default_usd_per_hour: float | None
    price_date: str | None = None
    price_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorList(Result):
    """The GPUs that are known, each with its default price."""

    schema: ClassVar[str] = "scaleplan/gpus/1"

    gpus: tuple[PricedAccelerator, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints; each device with its schema."""
        return {"schema": self.schema, "gpus": [gpu.to_dict() for gpu in self.gpus]}


class Accelerators:
    """The accelerators by name: the bundled ones, and the user's own, which win."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._tables: dict[str, tuple[Table, Table]] = {}
        self._names: dict[str, str] = {}
        self._shown: list[str] = []
        self._without: dict[str, str] = {}
        for table in read_data("accelerators.toml", folders):
            self.add(table)

    def ids(self) -> tuple[str, ...]:
        """Return the ids in the order of the files."""
        return tuple(self._tables)

    def all(self) -> tuple[Accelerator, ...]:
        """Return every accelerator."""
        return tuple(read_accelerator(*pair) for pair in self._tables.values())

    def of_vendor(self, vendor: str | None) -> tuple[Accelerator, ...]:
        """Return the accelerators of a vendor, all of them for None; raises UnknownNameError when it has none."""
        known = self.all()
        if vendor is None:
            return known
        found = tuple(device for device in known if device.vendor.casefold() == vendor.casefold())
        if not found:
            raise UnknownNameError("vendor", vendor, sorted({device.vendor for device in known}))
        return found

    def get(self, name: str) -> Accelerator:
        """Return the accelerator of an id or alias, whatever its case, spaces and dashes; else UnknownNameError.

        A path ending in ``.toml`` is a file with one accelerator, which is known by its id from then on.
        """
        if name.casefold().endswith(FILE_ENDING):
            return self._of_file(name)
        wanted = _squeeze(name)
        found = self._names.get(wanted)
        if found is None:
            reason = self._without.get(wanted)
            raise UnknownNameError(
                "GPU", name, self._shown, listing="scaleplan gpus list", reason=reason, otherwise=_OWN
            )
        return read_accelerator(*self._tables[found])

    def _of_file(self, name: str) -> Accelerator:
        """Return the only accelerator of a file; raises FileError where it has none, or several."""
        top = read_table(Path(name), what="GPU file")
        require_schema(top)
        ids = [table.text("id") for table in top.tables("accelerator")]
        if len(ids) != 1:
            hint = "leave one [[accelerator]], or put the file into your preset folder and name one by its id"
            raise FileError(f"{top.source} has {counted(len(ids), 'GPU')}, and --gpu names one", hint=hint)
        self.add(top)
        return self.get(ids[0])

    def add(self, top: Table) -> None:
        """Add the accelerators of a file, which win over those of their ids; raises FileError for its names."""
        top.text("as_of", "")
        top.table("sources")
        names: dict[str, str] = {}
        for table in top.tables("accelerator"):
            ident = table.text("id")
            for position, name in enumerate((ident, *table.texts("aliases", ()))):
                key = _squeeze(name)
                if not key:
                    raise table.error("aliases" if position else "id", "expected names with letters or digits")
                if key in names and (position == 0 or names[key] != ident):
                    raise table.error("aliases" if position else "id", f"{quote(name)} already names {names[key]}")
                names[key] = ident
                self._shown.append(name)
            self._tables[ident] = (top, table)
        self._names |= names
        for table in top.tables("without_figures"):
            self._without |= dict.fromkeys(map(_squeeze, table.texts("names")), table.text("reason"))
            table.done()
        top.done()


def _squeeze(name: str) -> str:
    """Reduce a name to what distinguishes devices: ``NVIDIA A100-SXM4-80GB`` and ``a100 sxm4 80gb`` are one."""
    words = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    return "".join(word for word in words if word not in _MAKERS)


def read_accelerator(top: Table, table: Table) -> Accelerator:
    """Return the accelerator of one table of a file; raises FileError for what is none."""
    rates = table.table("tflops")
    peaks = {name: rates.number(name, above=0) * _TERA for name in PRECISIONS if name in rates}
    rates.done()
    if not peaks and "tflops" in table:
        raise table.error("tflops", f"expected at least one of {', '.join(PRECISIONS)}")
    link = table.optional_number("link_gbs", above=0)
    estimated = table.boolean("tdp_estimated", default=False)
    basis = table.choice("tdp_basis", BASES, "estimated" if estimated else "design")
    known = top.table("sources")
    accelerator = Accelerator(
        id=table.text("id"),
        name=table.text("name"),
        aliases=table.texts("aliases", ()),
        vendor=table.text("vendor"),
        year=table.integer("year", at_least=1900),
        form=table.text("form", ""),
        memory_bytes=_memory(table),
        bandwidth=table.number("bandwidth_gbs", above=0) * GIGA,
        tdp_w=table.optional_number("tdp_w", above=0),
        tdp_estimated=basis == "estimated",
        link=table.text("link", ""),
        link_bandwidth=None if link is None else link * GIGA,
        peaks=peaks,
        sparse_headline=table.boolean("sparse_headline", default=False),
        utilisation_class=table.text("class") if "class" in table else None,
        class_by_likeness=table.boolean("class_by_likeness", default=False),
        sources=tuple(known.text(key, key) for key in table.texts("sources")),
        as_of=top.text("as_of", ""),
        note=table.text("note", ""),
        origin=table.source,
        tdp_basis=basis,
        power_w=table.optional_number("power_w", above=0),
        host_power_w=table.optional_number("host_power_w", at_least=0),
        power_source=table.text("power_source", ""),
        link_devices=table.integer("link_devices", 8, at_least=1),
        status=table.choice("status", STATUSES, "verified"),
        unified_memory=table.boolean("unified_memory", default=False),
    )
    table.done()
    return accelerator


def _memory(table: Table) -> float:
    """Return the bytes of memory: as the device reports them, in GiB of 2**30 or in GB of 1e9."""
    found = [
        table.number(key, above=0) * unit
        for key, unit in (("memory_bytes", 1.0), ("memory_gib", _GIBI), ("memory_gb", GIGA))
        if key in table
    ]
    if len(found) != 1:
        raise table.error("memory_gb", "expected exactly one of memory_bytes, memory_gib and memory_gb")
    return found[0]
