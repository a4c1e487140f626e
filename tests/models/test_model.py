"""The model record: one call from a config to everything that follows."""

import json

import pytest
from tests.models.examples import LLAMA_3_8B_CONFIG as LLAMA_3_8B

from scaleplan.errors import UsageError
from scaleplan.models import read_model


def test_a_model_states_its_counts():
    """Llama-3-8B: 8,030,261,248 parameters, 6N, 131,072 bytes of cache a token."""
    model = read_model(LLAMA_3_8B)
    assert model.family == "llama"
    assert model.params == model.active_params == 8_030_261_248
    assert model.embedding_params == 2 * 128256 * 4096
    assert model.non_embedding_params == model.params - model.embedding_params
    assert model.flops_per_token == 6 * model.params
    assert model.kv_bytes_per_token == 131_072


def test_the_dictionary_is_flat_json_with_a_schema():
    """``to_dict`` has the schema, plain numbers, and the attributes' values under their names."""
    model = read_model(json.dumps(LLAMA_3_8B), context=8192)
    record = model.to_dict()
    assert record["schema"] == "scaleplan/model/1"
    assert record["context"] == 8192
    for key in ("params", "active_params", "non_embedding_params", "embedding_params", "flops_per_token", "family"):
        assert record[key] == getattr(model, key)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_context_defaults_to_2048_or_the_models_own():
    """Attention is counted at 2048 tokens unless the model is shorter or the user says otherwise."""
    assert read_model(LLAMA_3_8B).flops.context == 2048
    assert read_model(LLAMA_3_8B | {"max_position_embeddings": 512}).flops.context == 512
    assert read_model(LLAMA_3_8B, context=4096).flops.context == 4096
    with pytest.raises(UsageError, match="context '0'"):
        read_model(LLAMA_3_8B, context=0)


def test_parameters_follow_the_convention_of_a_law():
    """Each convention of a preset is computed exactly; an unknown one is refused."""
    model = read_model(LLAMA_3_8B, context=2048)
    table = 128256 * 4096
    assert model.params_as("total") == model.params
    assert model.params_as("active") == model.params
    assert model.params_as("non_embedding") == model.params - 2 * table
    assert model.params_as("total_minus_input_embedding") == model.params - table
    attention = 12 * 32 * 4096 * 2048
    assert model.params_as("flops_per_token") == 6 * (model.params - 2 * table) + attention
    with pytest.raises(UsageError, match="unknown parameter convention 'half'"):
        model.params_as("half")


def test_notes_say_what_was_left_out():
    """Vision parts and prediction blocks are not counted, and the record says so."""
    nested = read_model({"text_config": LLAMA_3_8B, "model_type": "llava"})
    assert nested.params == 8_030_261_248
    assert "multimodal" in nested.notes[0]
