"""Reading a config.json: text, file, folder; everything hostile is one clear error."""

import json

import pytest

from scaleplan.errors import FileError
from scaleplan.models.config import MAX_CONFIG_BYTES, read_config

GPT2 = '{"model_type": "gpt2", "n_embd": 768}'


def test_text_file_folder_and_mapping_are_the_same(tmp_path):
    """A config may come as text, as a path to the file or its folder, or already parsed."""
    path = tmp_path / "config.json"
    path.write_text(GPT2, encoding="utf-8")
    data = json.loads(GPT2)
    for source in (GPT2, "\n " + GPT2, "\ufeff" + GPT2, path, str(path), tmp_path, str(tmp_path), data):
        assert read_config(source)[0] == data


@pytest.mark.parametrize(
    "text, says",
    [
        ("[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' appears twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ('{"a": 1', "not valid JSON (line 1, column 8"),
        ("[1, 2]", "expected a JSON object"),
        ('{"a": "' + "x" * MAX_CONFIG_BYTES + '"}', "larger than"),
    ],
)
def test_hostile_text_is_one_clear_error(text, says):
    """Deep nesting, duplicate keys, constants that JSON lacks, huge numbers and truncation are each refused."""
    with pytest.raises(FileError) as caught:
        read_config(text)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


def test_files_that_cannot_be_read_are_refused(tmp_path):
    """A missing file, a folder without a config, bytes that are not text, and an empty file name themselves."""
    with pytest.raises(FileError, match="does not exist"):
        read_config(str(tmp_path / "none.json"))
    with pytest.raises(FileError, match=r"config\.json' does not exist"):
        read_config(tmp_path)
    with pytest.raises(FileError, match=r"\\x00"):
        read_config("a\x00b")
    bad = tmp_path / "bad.json"
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="not UTF-8"):
        read_config(bad)
    bad.write_text(" \n", encoding="utf-8")
    with pytest.raises(FileError, match="empty"):
        read_config(bad)
    bad.write_bytes(b" " * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(FileError, match="larger than"):
        read_config(bad)


def test_the_largest_accepted_config_is_read():
    """A megabyte of keys is within the limit."""
    text = json.dumps({f"k{i:06d}": i for i in range(50_000)})
    assert len(text) > 0.8 * MAX_CONFIG_BYTES
    assert len(read_config(text)[0]) == 50_000
