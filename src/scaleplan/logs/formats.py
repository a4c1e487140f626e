"""The formats of training logs: how each is recognised by its content, and the function that reads it.

A new format is a module of this package, or a class of one, with ``recognise`` and ``read``, and a line in
:data:`FORMATS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["FORMATS", "LogFormat", "format_of"]


class LogFormat(NamedTuple):
    """A format: its name in results, what it is called, and the module that recognises and reads it.

    The module, or its class ``reader``, has ``recognise(file: LogFile) -> bool``, which looks at the beginning of the
    file and its name alone, and ``read(file: LogFile) -> Iterator[Recorder]``, one for each run of the file, as soon
    as it is complete. Neither runs anything that the file holds.
    """

    name: str
    title: str
    module: str
    reader: str | None = None

    def recognises(self, file: LogFile) -> bool:
        """Return whether a file is of this format, by its first bytes and its name."""
        recognise: Callable[[LogFile], bool] = self._code.recognise
        return recognise(file)

    def read(self, file: LogFile) -> Iterator[Recorder]:
        """Yield the runs of a file."""
        read: Callable[[LogFile], Iterator[Recorder]] = self._code.read
        return read(file)

    @property
    def _code(self) -> Any:  # noqa: ANN401  a module or a class of it
        module = import_module(self.module)
        return module if self.reader is None else getattr(module, self.reader)


_PRINTED = (
    LogFormat("megatron", "Megatron-LM and Megatron-DeepSpeed", "scaleplan.logs.megatron_log", "MegatronLog"),
    LogFormat("nanotron", "nanotron", "scaleplan.logs.nanotron", "Nanotron"),
    LogFormat("nemo", "NeMo 2, its console", "scaleplan.logs.nemo_log", "NemoLog"),
    LogFormat("torchtitan", "torchtitan", "scaleplan.logs.torchtitan_log", "Torchtitan"),
    LogFormat("composer", "Composer, its file or console", "scaleplan.logs.blocks", "ComposerLog"),
    LogFormat("olmo-core", "OLMo-core, its console", "scaleplan.logs.blocks", "OlmoCore"),
    LogFormat("mlperf", "MLPerf training", "scaleplan.logs.mlperf", "MlperfLog"),
    LogFormat("modded-nanogpt", "modded-nanogpt", "scaleplan.logs.nanogpt", "ModdedNanogpt"),
    LogFormat("nanochat", "nanochat", "scaleplan.logs.nanogpt", "Nanochat"),
    LogFormat("llm.c", "llm.c, main.log or console", "scaleplan.logs.nanogpt", "LlmC"),
    LogFormat("build-nanogpt", "build-nanogpt, log.txt or console", "scaleplan.logs.nanogpt", "BuildNanogpt"),
    LogFormat(
        "huggingface-console",
        "Trainer of Hugging Face, as printed",
        "scaleplan.logs.trainer_console",
        "TrainerConsole",
    ),
    LogFormat("nanogpt", "nanoGPT and LitGPT, as printed", "scaleplan.logs.nanogpt", "Nanogpt"),
)
"""Lines of text. None could be taken for another: the words of each are its own."""

FORMATS: tuple[LogFormat, ...] = (
    *_PRINTED,
    LogFormat("tensorboard-events", "TensorBoard event file", "scaleplan.logs.event_file"),
    LogFormat("huggingface", "trainer_state.json of Hugging Face", "scaleplan.logs.trainer_state"),
    LogFormat("mlflow", "MLflow file store", "scaleplan.logs.mlflow"),
    LogFormat("tensorboard-scalars", "scalar export of TensorBoard", "scaleplan.logs.tensorboard_scalars"),
    LogFormat("wandb-chart", "chart export of W&B", "scaleplan.logs.wandb_chart"),
    LogFormat("wandb-history", "history of a W&B run", "scaleplan.logs.csv_logs", "WandbHistory"),
    LogFormat("lightning", "metrics.csv of Lightning", "scaleplan.logs.csv_logs", "LightningMetrics"),
    LogFormat("json-lines", "JSON lines", "scaleplan.logs.json_lines"),
    LogFormat("json-history", "JSON history of a run", "scaleplan.logs.json_history"),
    LogFormat("curve-table", "table of curves (CSV, TSV)", "scaleplan.logs.csv_logs", "CurveTable"),
)
"""Every format, in the order in which they are tried: one that could be taken for another stands before it."""


def format_of(file: LogFile) -> LogFormat | None:
    """Return the format of a file, by its content; None where it is no log."""
    return next((known for known in FORMATS if known.recognises(file)), None)
