"""The language models of multimodal configs: where they stand, of which family they are, and what ties their head."""

import pytest

from scaleplan.errors import FileError
from scaleplan.models.families.finding import families
from scaleplan.models.families.multimodal import wrappers
from scaleplan.models.model import read_model

MISTRAL = {
    "model_type": "mistral",
    "hidden_size": 5120,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 32768,
    "vocab_size": 131072,
}
QWEN = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
TIED, UNTIED = 22_901_314_560, 23_572_403_200  # of Mistral Small 3.1, whose file says nothing about its head


@pytest.mark.parametrize(
    ("top", "nested", "params", "other"),
    [
        (None, None, TIED, UNTIED),
        (None, False, TIED, UNTIED),
        (None, True, TIED, None),
        (True, None, TIED, None),
        (False, None, UNTIED, None),
        (True, False, TIED, UNTIED),
        (False, True, UNTIED, TIED),
    ],
)
def test_the_top_level_ties_the_head_and_doubt_is_told_with_the_other_total(top, nested, params, other):
    """Mistral 3 ties its head where its top level is silent; a note has the other total where that is open."""
    text = MISTRAL | ({} if nested is None else {"tie_word_embeddings": nested})
    config = {"model_type": "mistral3", "text_config": text, "vision_config": {}}
    found = read_model(config if top is None else config | {"tie_word_embeddings": top})
    assert found.params == params
    assert any(f"else {other:,}" in note for note in found.notes) if other else len(found.notes) == 1


@pytest.mark.parametrize(("top", "nested", "tied"), [(True, False, False), (False, True, True), (None, True, True)])
def test_some_types_are_tied_by_their_text_part(top, nested, tied):
    """Llama 4 and BLIP-2 hold a whole decoder with a head, which follows its own flag."""
    text = QWEN | {"model_type": "qwen2", "tie_word_embeddings": nested}
    config = {"model_type": "blip-2", "text_config": text}
    found = read_model(config if top is None else config | {"tie_word_embeddings": top})
    assert found.architecture.tied is tied
    assert any("the text part counts" in note for note in found.notes) == (top is not None)


def test_some_types_never_tie_the_head():
    """Qwen2-Audio and Voxtral have a head of their own whatever the flags say."""
    text = QWEN | {"model_type": "qwen2", "tie_word_embeddings": True}
    found = read_model({"model_type": "qwen2_audio", "text_config": text})
    assert not found.architecture.tied
    assert any("its class counts (not tied); else 7,070," in note for note in found.notes)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen2_5_vl", "text_config": QWEN},
        {"model_type": "qwen2_5_vl", "vision_config": {"hidden_size": 1280}, **QWEN},
        {
            "model_type": "qwen2_5_omni",
            "thinker_config": {"text_config": QWEN, "audio_config": {}},
            "talker_config": {},
        },
        {"model_type": "internvl_chat", "llm_config": QWEN | {"model_type": "qwen2"}},
        {
            "model_type": "of_tomorrow",
            "language_config": QWEN | {"model_type": "qwen2", "tie_word_embeddings": False},
        },
    ],
)
def test_the_language_model_is_found_wherever_it_stands(config):
    """Nested under one of the usual keys, deeper, or at the top level; its family may go without saying."""
    found = read_model(config)
    assert found.params == 7_615_616_512
    assert found.notes[0] == "only the language model of this multimodal config is counted"


def test_an_unknown_language_model_is_refused_by_its_name():
    """The family of the text part is missing, not that of the whole."""
    with pytest.raises(FileError, match="text_config: unknown model family 'sphinx'"):
        read_model({"model_type": "llava", "text_config": QWEN | {"model_type": "sphinx"}})
    with pytest.raises(FileError, match="unknown model family 'of_tomorrow'"):
        read_model({"model_type": "of_tomorrow", "text_config": QWEN})


def test_the_multimodal_types_name_families_that_there_are():
    """Each entry of the table has a known family and a known way to tie the head."""
    known = set(families().model_types())
    for name, entry in wrappers().items():
        assert entry.text("text") in known, name
        assert entry.text("ties", "top") in ("top", "text", "either", "never"), name
        assert entry.data.keys() <= {"at", "text", "tied", "ties", "whole"}, name


@pytest.mark.parametrize(
    ("config", "params", "active"),
    [
        (
            {
                "model_type": "mllama",
                "text_config": {
                    "model_type": "mllama_text_model",
                    "hidden_size": 4096,
                    "intermediate_size": 14336,
                    "num_hidden_layers": 40,
                    "num_attention_heads": 32,
                    "num_key_value_heads": 8,
                    "vocab_size": 128256,
                    "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
                    "tie_word_embeddings": False,
                },
            },
            9_775_192_080,
            9_775_192_080,
        ),
        ({"model_type": "musicgen", "decoder": {}, "text_encoder": {"model_type": "t5"}}, 419_584_000, 419_584_000),
    ],
)
def test_cross_attention_to_images_and_words_is_counted(config, params, active):
    """Llama 3.2 Vision holds layers that read images, MusicGen's decoder reads the words of its encoder."""
    found = read_model(config)
    assert (found.params, found.active_params) == (params, active)
