"""TensorBoard event files: checksums, the forms of a scalar, restarts, and what is cut or damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logs.event_writer import event, event_file, event_records, field, masked_crc, record

from scaleplan.errors import FileError
from scaleplan.logs import event_file as reader
from scaleplan.logs.log_reading import read_logs

NAME = "events.out.tfevents.1700000000.host"
EVENTS = [(1.7e9 + k, 10 * k, {"train/loss": 4 - 0.125 * k, "train/lr": 0.25}) for k in range(1, 9)]


def codes(run):
    """Return the codes of the warnings of a run."""
    return {notice.code for notice in run.warnings}


def points(run, name="loss"):
    """Return the points of a curve."""
    curve = run.curves[name]
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


WHOLE = {10.0 * k: 4 - 0.125 * k for k in range(1, 9)}


@given(data=st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=5))
def test_the_checksum_is_that_of_a_table_of_bytes(data):
    rows = np.frombuffer(b"".join(data), dtype=np.uint8).reshape(-1, 7)
    assert reader.masked_crc(rows).tolist() == [masked_crc(row) for row in data]


def test_the_checksum_is_crc_32c():
    # the check value of the polynomial, of the digits from 1 to 9, before it is masked
    masked = int(reader.masked_crc(np.frombuffer(b"123456789", dtype=np.uint8)[None, :])[0])
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert (turned >> 17 | turned << 15) & 0xFFFFFFFF == 0xE3069283


@pytest.mark.parametrize("form", ["simple", "content", "float", "double"])
def test_a_scalar_is_read_in_every_form(read, form):
    (run,) = read(event_file(EVENTS, form=form), f"small/{NAME}")
    assert (run.format, run.name, run.label) == ("tensorboard-events", "small", "train/loss")
    assert points(run) == WHOLE
    assert points(run, "lr") == dict.fromkeys(WHOLE, 0.25)
    assert run.curves["seconds"].values.tolist() == list(range(8))
    assert run.written == 1.7e9 + 8
    assert not codes(run)


def test_each_tag_may_have_events_of_its_own_in_any_order(read):
    apart = [
        (wall, step, {tag: value})
        for tag in ("train/loss", "train/lr")
        for wall, step, v in EVENTS
        for value in [v[tag]]
    ]
    (run,) = read(event_file(apart), NAME)
    assert points(run) == WHOLE
    assert points(run, "lr") == dict.fromkeys(WHOLE, 0.25)
    assert not codes(run)


def test_pictures_and_texts_are_passed_over(read):
    picture = record(
        b"\x09"
        + struct.pack("<d", 1.7e9)
        + b"\x10\x05"
        + field(5, field(1, field(1, b"loss/map") + field(4, b"x" * 10000)))
    )
    text = record(
        b"\x09"
        + struct.pack("<d", 1.7e9)
        + field(5, field(1, field(1, b"loss/text") + field(8, b"\x08\x07" + field(8, b"abc"))))
    )
    (run,) = read(event_file(EVENTS[:4]) + picture + text + event_records(EVENTS[4:]), NAME)
    assert points(run) == WHOLE
    assert not codes(run)


def test_a_step_of_zero_is_not_written_and_large_ones_are(read):
    steps = [0, 1, 127, 128, 16384, 2**21, 2**35, 2**52]
    (run,) = read(event_file([(1.7e9, step, {"loss": 2.0}) for step in steps]), NAME)
    assert run.curves["loss"].steps.tolist() == steps


@pytest.mark.parametrize("chunk", [64, 200, 1000, 1 << 23])
def test_records_across_pieces_of_the_file_are_whole(read, monkeypatch, chunk):
    monkeypatch.setattr(reader, "_CHUNK", chunk)
    picture = record(field(5, field(1, field(1, b"map") + field(4, b"x" * 10000))))
    (run,) = read(event_file(EVENTS[:4]) + picture + event_records(EVENTS[4:]), NAME)
    assert points(run) == WHOLE
    assert not codes(run)


def test_a_damaged_record_is_left_out_and_told(read):
    data = bytearray(event_file(EVENTS))
    size = len(record(event(*EVENTS[0])))
    begin = len(data) - 4 * size
    for place in range(begin, begin + size):
        broken = bytearray(data)
        broken[place] ^= 0x10
        (run,) = read(bytes(broken), NAME)
        assert points(run) == {step: loss for step, loss in WHOLE.items() if step != 50}
        (notice,) = [each for each in run.warnings if each.code == "damaged_records"]
        assert notice.message.startswith("1 record of")


def test_bytes_that_were_lost_cost_the_records_around_them_alone(read):
    data = event_file(EVENTS)
    size = len(record(event(*EVENTS[0])))
    begin = len(data) - 4 * size
    (run,) = read(data[: begin + 20] + data[begin + 40 :], NAME)
    assert points(run) == {step: loss for step, loss in WHOLE.items() if step != 50}
    assert "damaged_records" in codes(run)


def test_a_file_may_be_cut_at_any_byte(read):
    data = event_file(EVENTS)
    first, size = len(event_file([])), len(record(event(*EVENTS[0])))
    for end in [*range(1, first + size + 20), *range(first + size + 20, len(data), 7)]:
        try:
            (run,) = read(data[:end], NAME)
        except FileError:
            assert end < first + size
            continue
        whole, rest = divmod(end - first, size)
        assert list(points(run)) == list(WHOLE)[:whole]
        assert codes(run) == ({"cut"} if rest else set())


def test_the_files_of_a_run_after_a_restart_are_one(tmp_path):
    (tmp_path / "run").mkdir()
    later = [(1.7e9 + 100 + k, 10 * k, {"train/loss": 3 - 0.125 * k}) for k in range(6, 12)]
    (tmp_path / "run" / "events.out.tfevents.1700000000.b").write_bytes(event_file(EVENTS))
    (tmp_path / "run" / "events.out.tfevents.1700000100.a").write_bytes(event_records(later))
    (run,) = read_logs([tmp_path])
    assert points(run)[50] == WHOLE[50]
    assert points(run)[60] == 3 - 0.125 * 6
    assert run.last_step == 110
    assert "restarted" in codes(run)


def test_curves_below_the_file_of_a_run_are_of_it(tmp_path):
    """So does ``add_scalars`` of PyTorch write what one picture shows."""
    for folder, events in {
        ".": [(1e9 + step, step, {"lr": 1e-3}) for step in range(3)],
        "loss_train": [(1e9 + step, step, {"loss": 3.0}) for step in range(3)],
        "loss_val": [(1e9 + step, step, {"loss": 3.5}) for step in range(3)],
        "long_train": [],
    }.items():
        (tmp_path / "run" / folder).mkdir(parents=True, exist_ok=True)
        if events:
            (tmp_path / "run" / folder / "events.out.tfevents.1.host.1.0").write_bytes(event_file(events))
    (run,) = read_logs([tmp_path])
    assert (run.name, run.curves["loss"].values[-1], run.curves["val_loss"].values[-1]) == ("run", 3.0, 3.5)
    assert len(run.curves["lr"]) == 3


def test_training_and_validation_in_folders_of_their_own_are_one(tmp_path):
    for k, split in enumerate(("train", "validation")):
        (tmp_path / "run" / split).mkdir(parents=True)
        events = [(1.7e9 + j, j, {"epoch_loss": 4.0 + k}) for j in range(3)]
        (tmp_path / "run" / split / NAME).write_bytes(event_file(events))
    (run,) = read_logs([tmp_path])
    assert run.name == "run"
    assert points(run) == {0: 4, 1: 4, 2: 4}
    assert points(run, "val_loss") == {0: 5, 1: 5, 2: 5}


numbers = st.floats(min_value=0.0078125, max_value=100, width=32)


@settings(max_examples=40)
@given(
    values=st.lists(numbers, min_size=1, max_size=40), form=st.sampled_from(["simple", "content", "float", "double"])
)
def test_what_is_written_is_read_back(tmp_path_factory, values, form):
    path = tmp_path_factory.mktemp("events") / NAME
    events = [(1.7e9 + k, 37 * k, {"loss": value, "lr": 0.5}) for k, value in enumerate(values)]
    path.write_bytes(event_file(events, form=form))
    (run,) = read_logs([path])
    assert points(run) == {37.0 * k: value for k, value in enumerate(values)}


@settings(max_examples=100)
@given(place=st.integers(0, 600), data=st.binary(min_size=1, max_size=60))
def test_damaged_bytes_change_no_value(tmp_path_factory, place, data):
    path = tmp_path_factory.mktemp("events") / NAME
    whole = event_file(EVENTS)
    path.write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        (run,) = read_logs([path])
    except FileError:
        return
    assert points(run).items() <= WHOLE.items()
