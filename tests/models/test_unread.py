"""A config is never counted as what it is not: fields that change the count and that a family does not use."""

import json
import tomllib
from pathlib import Path

import pytest

from scaleplan.errors import FileError
from scaleplan.models.families import unread
from scaleplan.models.families.finding import families
from scaleplan.models.model import read_model

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference configs lie beside the project")

LLAMA = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 1408,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_local_experts", 8),
        ("num_experts", 64),
        ("n_routed_experts", 160),
        ("moe_num_experts", 8),
        ("n_shared_experts", 2),
        ("shared_expert_intermediate_size", 1408),
        ("interleave_moe_layer_step", 2),
        ("ffn_config", {"moe_num_experts": 16}),
        ("mamba_d_state", 16),
        ("ssm_state_size", 128),
        ("linear_num_key_heads", 16),
        ("conv_L_cache", 3),
        ("short_conv_kernel_size", 4),
        ("lru_width", 512),
        ("kv_lora_rank", 512),
        ("q_lora_rank", 1536),
        ("index_n_heads", 64),
        ("v_head_dim", 128),
        ("layer_types", ["linear_attention"] * 6 + ["full_attention"] * 2),
        ("layers_block_type", ["mamba", "attention"] * 4),
        ("hybrid_override_pattern", "M-M*M-M*"),
        ("attn_layer_period", 8),
        ("encoder_layers", 6),
        ("add_cross_attention", True),
        ("type_vocab_size", 2),
        ("hidden_size_per_layer_input", 256),
        ("embedding_size", 128),
        ("use_qk_norm", True),
        ("qkv_bias", True),
        ("hidden_act", "relu2"),
        ("num_attention_heads_per_layer", [8] * 8),
    ],
)
def test_what_the_family_does_not_use_is_refused_by_name(field, value):
    """Experts, state-space layers, latent ranks and their like in a Llama config name themselves in the error."""
    with pytest.raises(FileError, match=field) as caught:
        read_model(LLAMA | {field: value})
    assert "another family" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_local_experts", 0),
        ("num_experts", None),
        ("layer_types", ["full_attention"] * 8),
        ("mlp_layer_types", ["dense"] * 8),
        ("output_router_logits", True),
        ("router_aux_loss_coef", 0.01),
        ("num_experts_per_tok", 2),
        ("attention_bias", False),
        ("pretraining_tp", 1),
        ("attention_dropout", 0.1),
        ("add_cross_attention", False),
        ("embedding_size", 512),
        ("v_head_dim", 64),
        ("kv_channels", 64),
        ("bos_token_id", 1),
        ("hidden_act", "silu"),
        ("rope_scaling", {"factor": 8.0}),
    ],
)
def test_what_changes_no_count_is_read_past(field, value):
    """Fields that are absent in effect, agree with the rest, or only steer training leave the count as it is."""
    assert read_model(LLAMA | {field: value}).params == read_model(LLAMA).params


def test_a_multimodal_mixture_is_not_a_dense_llama():
    """Llama 4 read with ``--arch llama`` names its experts instead of counting a tenth of it."""
    text = LLAMA | {"num_local_experts": 16, "interleave_moe_layer_step": 2}
    del text["model_type"]
    with pytest.raises(FileError, match="num_local_experts, interleave_moe_layer_step"):
        read_model({"text_config": text}, arch="llama")
    with pytest.raises(FileError, match=r"model_type 'llama4_text' is .* family: it is not read as 'llama'"):
        read_model({"model_type": "llama4", "text_config": text}, arch="llama")


def test_a_known_family_is_not_read_as_another():
    """``--arch`` is for families that are not known; a synonym of the same reader is fine."""
    with pytest.raises(FileError, match="model_type 'llama' is a known family: it is not read as 'gpt2'"):
        read_model(LLAMA, arch="gpt2")
    assert read_model(LLAMA, arch="code_llama").params == read_model(LLAMA).params


def test_no_config_is_read_as_a_family_that_it_does_not_state():
    """A family that is not known is refused by name, and one that states none is read without a remark."""
    with pytest.raises(FileError, match="model_type 'new-thing' is another family: it is not read as 'llama'"):
        read_model(LLAMA | {"model_type": "new-thing"}, arch="llama")
    assert read_model({k: v for k, v in LLAMA.items() if k != "model_type"}, arch="llama").notes == ()


def test_rotary_positions_are_no_learned_table():
    """A GPT-2 that turns its queries has no position table of GPT-2."""
    sizes = {"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}
    with pytest.raises(FileError, match="rope_theta would change the count"):
        read_model(sizes | {"rope_theta": 10000.0}, arch="gpt2")


@needs_reference
def test_published_configs_are_still_counted():
    """None of the 46 published configs states a field that its family leaves unread."""
    models = json.loads((REFERENCE / "configs.json").read_text())["models"]
    entries = models.values() if isinstance(models, dict) else models
    assert len([read_model(entry.get("config", entry)).params for entry in entries]) > 40


@needs_reference
def test_configs_of_the_library_are_exact_refused_or_noted():
    """Of 431 configs those of known families are exact or refused; the others are never counted without a note."""
    models = json.loads((REFERENCE / "families_expected.json").read_text())["models"]
    exact = 0
    for entry in models.values():
        try:
            found = read_model(entry["config"])
        except FileError:
            try:
                found = read_model(entry["config"], arch="llama")
            except FileError:
                continue
            assert found.notes
            continue
        assert found.params == entry["expected"]["total"]
        exact += 1
    assert exact >= 50


@pytest.mark.parametrize(
    ("name", "classes", "vocab", "positions", "params"),
    [
        ("roberta", ["RobertaForCausalLM"], 50265, 514, 124_697_433),
        ("roberta", ["RobertaForMaskedLM"], 50265, 514, 124_697_433),
        ("roberta", ["RobertaModel"], 50265, 514, 124_645_632),
        ("bert", ["BertLMHeadModel"], 30522, 512, 109_514_298),
    ],
)
def test_encoders_as_decoders_have_a_head_and_no_pooler(name, classes, vocab, positions, params):
    """The causal classes have the masked-token head."""
    config = {
        "model_type": name,
        "architectures": classes,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "type_vocab_size": 1 if name == "roberta" else 2,
    }
    found = read_model(config)
    assert found.params == params
    assert found.architecture.causal is classes[0].endswith(("CausalLM", "LMHeadModel"))


@pytest.mark.parametrize(("top", "nested", "tied"), [(True, False, True), (False, True, False)])
def test_contradicting_tie_flags_are_named_with_both_totals(top, nested, tied):
    """The top level decides whether the head is tied, as in transformers 5, and the note has the other total."""
    found = read_model({"tie_word_embeddings": top, "text_config": LLAMA | {"tie_word_embeddings": nested}})
    other = read_model(LLAMA | {"tie_word_embeddings": nested})
    assert found.architecture.tied is tied
    assert f"{other.params:,}" in found.notes[1]
    assert "the top level counts" in found.notes[1]


@pytest.mark.parametrize(("top", "nested"), [(None, True), (True, None), (True, True), (False, False)])
def test_agreeing_tie_flags_need_no_word(top, nested):
    """One flag, or two that agree, decide without a note."""
    found = read_model({"tie_word_embeddings": top, "text_config": LLAMA | {"tie_word_embeddings": nested}})
    assert found.architecture.tied is (top if top is not None else nested)
    assert len(found.notes) == 1


def test_every_family_keeps_its_own_fields():
    """No family is refused for a field that it reads: each reads its defaults without an error about them."""
    for name in families().model_types():
        try:
            read_model(LLAMA | {"model_type": name})
        except FileError as error:
            assert "would change the count" not in str(error), name  # noqa: PT017 other refusals are fine


def _without_family(config, *, classes=False):
    """Return a config that states no model_type, and no class where ``classes`` is false."""
    dropped = {"model_type"} if classes else {"model_type", "architectures"}
    return {
        key: _without_family(value, classes=classes) if key.endswith("_config") and isinstance(value, dict) else value
        for key, value in config.items()
        if key not in dropped
    }


@needs_reference
@pytest.mark.parametrize("arch", ["llama", "mistral", "gpt2", "mixtral", "gemma"])
def test_no_config_of_another_family_is_silently_counted_as_this_one(arch):
    """With or without its model_type, each is counted exactly or refused by what it has."""
    models = json.loads((REFERENCE / "families_expected.json").read_text())["models"]
    exact = 0
    for name, entry in models.items():
        for config in (entry["config"], _without_family(entry["config"], classes=True)):
            try:
                found = read_model(config, arch=arch)
            except FileError as error:
                message = error.message
            else:
                message = "exact" if found.params == entry["expected"]["total"] else f"counted as {found.params:,}"
                exact += message == "exact"
            named = {*config, *config.get("text_config", {}), "missing", "exact"}
            assert any(key in message for key in named), (name, message)
    assert exact < len(models) / 2


# What trains or runs such layers without weights of its own, in names that say nothing by themselves.
_SILENT = {"full_attn_alpha_factor", "full_attn_beta_factor", "no_rope_layers", "no_rope_layer_interval"}
_SILENT |= {"audio_chunk_size", "recurrent_kv_cache_mode", "centroid_intermediate_top_k", "audio_encoder_config"}
_SILENT |= {"share_encoder_decoder_embeddings"}


@needs_reference
def test_fields_of_other_families_betray_a_config_that_states_none():
    """Each field that the library's families have beyond Llama's is refused by its name under ``--arch llama``."""
    fields = json.loads((REFERENCE / "arch_fields.json").read_text())["fields"]
    models = json.loads((REFERENCE / "families_expected.json").read_text())["models"]
    values = {}
    for name, entry in models.items():
        config = {**entry["config"], **entry["config"].get("text_config", {})}
        values.setdefault(name.split("/")[0], {}).update({key: value for key, value in config.items() if value})
    tried = set()
    sizes = {key: value for key, value in LLAMA.items() if key != "model_type"}
    for family, groups in fields.items():
        for field in {name for names in groups.values() for name in names} - _SILENT - {"layer_types", "v_head_dim"}:
            value = values.get(family, {}).get(field)
            if value is None or field in LLAMA:
                continue
            with pytest.raises(FileError, match=field):
                read_model(sizes | {field: value}, arch="llama")
            tried.add(field)
    assert len(tried) > 100


@pytest.mark.parametrize(
    ("arch", "change", "says"),
    [
        ("llama", {"architectures": ["ApertusForCausalLM"]}, "architectures 'ApertusForCausalLM' is a known family"),
        ("llama", {"architectures": ["NewThingForCausalLM"]}, "'NewThingForCausalLM' is another family"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act gelu belongs to blocks of two matrices"),
        ("gpt_neox", {"hidden_act": "silu"}, "hidden_act silu belongs to blocks of three matrices"),
        ("llama", {"layer_norm_eps": 1e-5}, "layer_norm_eps would change the count"),
        ("gpt_neox", {"rms_norm_eps": 1e-5}, "rms_norm_eps would change the count"),
        ("llama", {"max_window_layers": 28}, "max_window_layers would change the count"),
        ("llama", {"num_experts_per_tok": 2}, "num_experts_per_tok would change the count"),
        ("llama", {"time_step_min": 0.001}, "time_step_min would change the count"),
    ],
)
def test_a_family_that_the_config_does_not_state_is_doubted(arch, change, says):
    """What steers training, norms and activations say of which family a config is."""
    sizes = {key: value for key, value in LLAMA.items() if key != "model_type"}
    with pytest.raises(FileError) as caught:
        read_model(sizes | change, arch=arch)
    assert says in caught.value.message


def test_a_family_that_the_config_does_not_state_is_read():
    """Its own fields, and those of every model, betray nothing."""
    sizes = {key: value for key, value in LLAMA.items() if key != "model_type"}
    own = {"rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 1e4, "rope_scaling": None, "mlp_bias": False}
    every = {"top_k": 50, "use_cache": True, "torch_dtype": "bfloat16", "num_experts": 0, "encoder_layers": None}
    assert read_model(sizes | own | every, arch="llama").params == read_model(LLAMA).params
    gelu = {"hidden_activation": "gelu_pytorch_tanh", "sliding_window": 4096}
    assert read_model(sizes | gelu, arch="gemma2").family == "gemma2"
    assert read_model(LLAMA | {"architectures": ["LlamaForCausalLM"]}, arch="llama").family == "llama"


def test_a_family_passes_over_no_field_that_would_pass_anyway():
    """Each of ``ignored`` is of a kind that changes the count in other families."""
    kinds = (*unread._KINDS.values(), *unread._BETRAYING.values())
    idle = [
        (path.stem, name)
        for path in (Path(__file__).parents[2] / "presets" / "families").glob("*.toml")
        for name in tomllib.loads(path.read_text(encoding="utf-8")).get("ignored", ())
        if name not in {*unread._ROTARY, *unread._ACTIVATIONS, *unread._WITH_SHIFT, *unread._WITHOUT_SHIFT}
        if not any(kind.search(name.lower()) for kind in kinds)
    ]
    assert idle == []
