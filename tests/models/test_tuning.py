"""Ways to train: what they refuse, and the bytes that follow from them by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.examples import LLAMA_2_7B, LLAMA_3_8B

import scaleplan as sp
from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.models.count import count
from scaleplan.models.memory import Footprint, Parallel, Training
from scaleplan.models.model import read_model
from scaleplan.models.public_models import PublicModels
from scaleplan.models.tuning import ATTENTION, HABITS, KERNELS, LOSSES, OPTIMIZERS, PRECISIONS, Method, method_of
from scaleplan.models.weights import weights_of

WIDTH, KEYS, INNER, LAYERS = 4096, 1024, 14336, 32  # of Llama-3-8B


def memory(**options):
    """Return what one device holds of Llama-3-8B in short sequences."""
    method, _ = method_of(**options)
    return Footprint(LLAMA_3_8B).memory(Training(sequence=1, method=method), Parallel())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 8}, "--rank belongs to adapters"),
        ({"targets": "q,v", "tune": "full"}, "--targets belongs to adapters"),
        ({"tune": "lora", "freeze": "norms"}, "freeze everything else already"),
        ({"quantize": "nf4"}, "are not quantised"),
        ({"galore_rank": 8, "optimizer": "adamw"}, "projected gradients"),
        ({"tune": "lora", "targets": "q,w"}, "cannot be put on 'w'"),
        ({"tune": "lora", "adapter_bits": 8}, "are not trained"),
        ({"also": "in-backward"}, "need an optimizer"),
        ({"tune": "lora", "also": "upcast"}, "nothing is quantised"),
        ({"tune": "lora", "quantize": "bf16", "also": "upcast"}, "nothing is quantised"),
        ({"tune": "qlora", "quantize": "bf16"}, "and bf16 does not"),
        ({"tune": "lora", "optimizer": "galore"}, "adapters have none"),
        ({"also": "foreach,no-foreach", "optimizer": "adamw"}, "contradict each other"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(options, words):
    """Each with the way out."""
    with pytest.raises(UsageError, match=words):
        method_of(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"trainer": "nobody"},
        {"tune": "prefix"},
        {"optimizer": "adam-9bit"},
        {"precision": "int3"},
        {"loss": "some"},
        {"attention": "none"},
        {"kernels": "slow"},
        {"offload": "weights"},
        {"freeze": "everything"},
        {"tune": "lora", "quantize": "nf3"},
        {"tune": "lora", "also": "luck"},
    ],
)
def test_unknown_names_are_refused(options):
    """The error lists what there is."""
    with pytest.raises(UnknownNameError, match=r"unknown"):
        method_of(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tune": "lora", "states": "mixed"}, "say the bytes"),
        ({"trained_layers": 33}, "the model has 32"),
        ({"tune": "lora", "rank": 5000}, "larger than the model's width"),
        ({"optimizer": "galore", "galore_rank": 5000}, "larger than the model's width"),
        ({"freeze": "embeddings,norms,attention,ffn"}, "nothing is trained"),
        ({"serve": True, "tune": "lora"}, "no training layout"),
        ({"serve": True, "quantize": "nf4", "weight_bits": 8}, "both say"),
        ({"serve": True, "weight_bits": 100}, "no number has .100. bits"),
    ],
)
def test_what_does_not_suit_the_model_or_the_question_is_refused(options, words):
    """By the public function."""
    with pytest.raises(UsageError, match=words):
        sp.memory("llama-3-8b", **options)


def test_adapters_have_the_parameters_of_their_matrices():
    """A pair of r(a + b) on each: q and v, or all seven matrices of a layer."""
    both = LAYERS * 8 * ((WIDTH + WIDTH) + (WIDTH + KEYS))
    every = LAYERS * 16 * (4 * WIDTH + 2 * (WIDTH + KEYS) + 3 * (WIDTH + INNER))
    assert weights_of(LLAMA_3_8B, method_of(tune="lora", rank=8, targets="q,v")[0]).layers == both
    assert weights_of(LLAMA_3_8B, method_of(tune="lora", rank=16, targets="all")[0]).layers == every


def test_adapters_are_put_on_matrices_of_this_name_and_not_on_those_that_have_the_word():
    """What compresses a latent is no down projection; the one input of a linear attention is no query, nor value."""
    latent = read_model(PublicModels().get("deepseek-v3").config).architecture
    hybrid = read_model(PublicModels().get("qwen3-next-80b-a3b").config).architecture
    blocks = 7168 + 18432, 7168 + 2048  # dense in 3 layers; of the others 256 experts and the shared one
    found = weights_of(latent, method_of(tune="lora", rank=8, targets="gate,up,down")[0])
    assert (found.layers, found.routed) == (8 * 3 * (3 * blocks[0] + 58 * blocks[1]), 8 * 3 * 58 * 256 * blocks[1])
    found = weights_of(latent, method_of(tune="lora", rank=8, targets="q")[0])
    assert found.layers == 8 * 61 * ((7168 + 1536) + (1536 + 128 * 192))
    found = weights_of(hybrid, method_of(tune="lora", rank=8, targets="q,v")[0])
    assert found.layers == 8 * 12 * ((2048 + 2 * 16 * 256) + (2048 + 2 * 256))  # of 48 layers, with gated queries


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("gpt2", {"targets": "gate"}, "no matrix of gpt2 .* is called gate"),
        ("falcon-mamba-7b", {"targets": "q,v"}, "is called query or value"),
        ("jamba-v0.1", {"targets": "q", "trained_layers": 1}, "in its last 1 layers"),
    ],
)
def test_adapters_on_nothing_are_refused(name, options, words):
    """A way to train that trains no weight is no answer."""
    with pytest.raises(UsageError, match=words):
        sp.memory(name, tune="lora", **options)


def test_a_direction_has_a_magnitude_for_each_output():
    """DoRA adds one weight a column."""
    lora, dora = (
        weights_of(LLAMA_3_8B, method_of(tune=kind, rank=8, targets="q,v")[0]).layers for kind in ("lora", "dora")
    )
    assert dora - lora == LAYERS * (WIDTH + KEYS)


def test_quantised_weights_are_those_of_the_layers():
    """4.5 bits of each weight of the seven matrices; tables, norms and head at 16, or upcast to 32."""
    matrices = LAYERS * (2 * WIDTH**2 + 2 * WIDTH * KEYS + 3 * WIDTH * INNER)
    rest = count(LLAMA_3_8B).params - matrices
    adapters = weights_of(LLAMA_3_8B, Method(tune="lora")).layers
    plain = memory(tune="qlora", trainer="torchtune", targets="all")
    upcast = memory(tune="qlora", trainer="huggingface", targets="all")
    assert plain.weights == pytest.approx(matrices * 4.5 / 8 + 2 * rest + 2 * adapters)
    assert upcast.weights == pytest.approx(matrices * 4.5 / 8 + 4 * rest + 4 * adapters)


@pytest.mark.parametrize(
    ("options", "bytes_per_param"),
    [
        ({"precision": "bf16", "optimizer": "adamw"}, 2 + 2 + 4),
        ({"precision": "mixed", "optimizer": "adamw"}, 2 + 2 + 12),
        ({"precision": "fp32", "optimizer": "adamw"}, 4 + 4 + 8),
        ({"precision": "bf16", "optimizer": "adamw-fp32"}, 2 + 2 + 8),
        ({"precision": "bf16", "optimizer": "adamw-8bit"}, 2 + 2 + 2 * (1 + 4 / 256)),
        ({"precision": "bf16", "optimizer": "paged-adamw-8bit"}, 2 + 2),
        ({"precision": "bf16", "optimizer": "sgd"}, 2 + 2),
        ({"precision": "bf16", "optimizer": "sgd-momentum"}, 2 + 2 + 2),
        ({"precision": "mixed", "optimizer": "adamw", "offload": "optimizer"}, 2 + 2),
    ],
)
def test_states_follow_from_precision_and_optimizer(options, bytes_per_param):
    """Weights, gradients, master copy and moments of a parameter."""
    assert weights_of(LLAMA_3_8B, method_of(**options)[0]).states.total == pytest.approx(bytes_per_param)


def test_muon_keeps_one_moment_of_matrices_and_two_of_the_rest():
    """Tables, head and norms are Adam's."""
    matrices = LAYERS * (2 * WIDTH**2 + 2 * WIDTH * KEYS + 3 * WIDTH * INNER)
    rest = count(LLAMA_3_8B).params - matrices
    assert memory(precision="fp32", optimizer="muon").optimizer == pytest.approx(4 * matrices + 8 * rest)


def test_adafactor_keeps_rows_and_columns():
    """Of seven matrices a layer and two tables; norms have one of each weight."""
    layer = 2 * (2 * WIDTH) + 2 * (WIDTH + KEYS) + 3 * (WIDTH + INNER)
    norms = (2 * LAYERS + 1) * WIDTH
    held = memory(precision="bf16", optimizer="adafactor").optimizer
    assert held == pytest.approx(4 * (LAYERS * layer + 2 * (128_256 + WIDTH) + norms))


def test_gradients_that_are_used_at_once_are_those_of_the_largest_tensor():
    """The word table of Llama-3-8B, 1.05 GB in 16 bits."""
    held = memory(precision="bf16", optimizer="paged-adamw-8bit", also="in-backward")
    assert (held.gradients, held.copies) == (0.0, 2 * 128_256 * WIDTH)


def test_many_tensors_at_once_copy_a_moment():
    """At the step of the optimizer, when activations have gone: 2 of the 8 bytes in 16 bits, 4 of 16 in 32."""
    for precision, each in (("bf16", 2), ("fp32", 4)):
        held = memory(precision=precision, also="foreach")
        assert held.copies == pytest.approx(each * count(LLAMA_3_8B).params)
        assert held.activations == 0
        assert memory(precision=precision).copies == 0


def test_the_last_layers_alone_keep_states_and_activations():
    """Half of the layers: half of their activations, and no states of the others."""
    training = Training(sequence=4096, recompute="none")
    whole, half = (
        Footprint(LLAMA_2_7B).memory(
            Training(sequence=4096, method=method_of(precision="bf16", trained_layers=layers)[0]), Parallel()
        )
        for layers in (None, 16)
    )
    assert training.method == Method()
    assert half.activations == pytest.approx(whole.activations / 2)
    assert half.optimizer < 0.55 * whole.optimizer
    assert half.weights == pytest.approx(whole.weights)


def test_frozen_tables_have_no_states():
    """4 bytes of moments of each of the two tables of 32,000 rows."""
    whole, frozen = (memory(precision="bf16", freeze=parts) for parts in (None, "embeddings"))
    assert whole.optimizer - frozen.optimizer == pytest.approx(4 * 2 * 128_256 * WIDTH)


def test_only_what_bitsandbytes_stores_is_upcast():
    """PEFT's preparation leaves models of GPTQ in 16 bits, and without a trainer so does this."""
    ways = [{"trainer": "huggingface", "quantize": "gptq-int4"}, {"quantize": "nf4"}]
    assert not any(method_of(tune="lora", **way)[0].upcast for way in ways)
    assert method_of(tune="lora", trainer="huggingface", quantize="nf4")[0].upcast


def test_what_bitsandbytes_serves_is_unpacked():
    """A matrix at a time, the largest; NVFP4 has kernels of its own."""
    served = {name: sp.memory("llama-3-8b", serve=True, quantize=name) for name in ("nf4", "nvfp4")}
    assert served["nf4"].memory.copies == 2 * WIDTH * INNER
    assert served["nvfp4"].memory.copies == 0


def test_fused_kernels_fuse_the_loss_too():
    """But where layers are compiled one by one, or a loss is given."""
    assert method_of(tune="full", kernels="compiled")[0].loss == "compiled"
    assert method_of(tune="full", kernels="compiled", precision="fsdp")[0].loss == "full"
    assert method_of(tune="full", kernels="compiled", loss="fused")[0].loss == "fused"
    assert method_of(trainer="huggingface", kernels="compiled")[0].loss == "compiled"
    assert [method_of(trainer=name, kernels="compiled")[0].loss for name in ("torchtitan", "torchtune")] == [
        "full",
        "chunked",
    ]


def test_what_is_not_said_is_a_range():
    """From fused kernels and loss to neither; what a trainer is known to do is none."""
    asked = {"source": "llama-3-8b", "tune": "qlora", "context": 2048}
    found = sp.memory(**asked)
    assert found.recompute == "full"
    assert found.unsaid.least < found.allocated < found.unsaid.most
    named = sp.memory(**asked, trainer="huggingface")
    assert named.unsaid is None
    assert all(getattr(named.bands, name) < getattr(found.bands, name) for name in ("allocated", "reserved"))
    ends = [
        sp.memory(**asked, **way).allocated
        for way in ({"kernels": "compiled", "loss": "fused"}, {"kernels": "eager", "loss": "full", "also": "upcast"})
    ]
    assert ends == [found.unsaid.least, found.unsaid.most]


def test_either_gradients_or_activations_are_alive():
    """Freed gradients come when activations have gone; summed ones stay, and those that devices do not share."""
    method, _ = method_of(precision="bf16", loss="fused")
    footprint, short, long = (
        Footprint(LLAMA_3_8B),
        Training(sequence=64, method=method),
        Training(sequence=65_536, method=method),
    )
    assert footprint.memory(short, Parallel()).activations == 0
    assert footprint.memory(long, Parallel()).gradients == 0
    summed = footprint.memory(Training(sequence=64, method=method_of(precision="bf16")[0].summing()), Parallel())
    assert summed.gradients == 2 * count(LLAMA_3_8B).params
    assert summed.activations > 0
    shared = footprint.memory(long, Parallel(data=2, zero=3))
    assert shared.gradients == 0
    assert shared.activations > 0
    whole = footprint.memory(long, Parallel(data=2, zero=0))
    assert whole.gradients == 2 * count(LLAMA_3_8B).params


def test_a_batch_of_more_micro_batches_sums_gradients():
    """Told by the batch that is asked for."""
    options = {"gpus": 1, "context": 512, "micro_batch": 1, "precision": "bf16", "recompute": "full"}
    once, summed = (sp.memory("llama-3.2-1b", batch=batch, **options).memory for batch in (512, 2048))
    assert summed.gradients == 2 * 1_235_814_400
    assert once.total < summed.total


def test_a_trainer_is_a_set_of_choices():
    """The same as its choices one by one, and what is said goes before."""
    named, recompute = method_of(trainer="litgpt", tune="lora", loss="full")
    spelt, _ = method_of(
        tune="lora",
        targets="q,v",
        adapter_bits=16,
        precision="bf16",
        kernels="eager",
        attention="sdpa",
        loss="full",
        also="merged,split,dropout,untied,gathers-all,unpacked,foreach",
    )
    assert (named, recompute) == (spelt, None)
    assert method_of(trainer="torchtitan")[1] == "selective"


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "tune": st.sampled_from(["full", "lora", "qlora", "dora", "qdora"]),
            "trainer": st.sampled_from(sorted(HABITS)),
            "precision": st.sampled_from(sorted(PRECISIONS)),
            "optimizer": st.sampled_from(sorted(OPTIMIZERS)),
            "loss": st.sampled_from(LOSSES),
            "attention": st.sampled_from(ATTENTION),
            "kernels": st.sampled_from(KERNELS),
            "offload": st.sampled_from(["activations", "optimizer"]),
        },
    ).filter(lambda options: options.get("tune", "full") == "full" or "galore" not in options.get("optimizer", "")),
    name=st.sampled_from(
        ["llama-3.2-1b", "gemma-2-2b", "mixtral-8x7b", "deepseek-v3", "kimi-linear-48b-a3b", "gpt2"]
    ),
    sequence=st.sampled_from([128, 4096]),
)
def test_recomputing_more_never_takes_more(options, name, sequence):
    """Of any way to train any kind of model; and every part is a number of bytes."""
    method, _ = method_of(**options)
    footprint = Footprint(read_model(PublicModels().get(name).config).architecture)
    totals = []
    for recompute in ("full", "selective", "none"):
        held = footprint.memory(Training(sequence=sequence, recompute=recompute, method=method), Parallel())
        assert all(math.isfinite(part) and part >= 0 for part in vars(held).values())
        totals.append(held.total)
    assert totals == sorted(totals)


@pytest.mark.parametrize(
    ("family", "sizes", "params"),
    [  # of PEFT 0.21.2 on the classes of Transformers, with rank 8 and target_modules="all-linear"
        ("gpt2", {"n_layer": 2, "n_embd": 96, "n_head": 6, "vocab_size": 100, "n_positions": 64}, 24576),
        (
            "phi3",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "num_key_value_heads": 2,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            17920,
        ),
        (
            "gpt_neox",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            17408,
        ),
        ("falcon", {"num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 6, "vocab_size": 100}, 22016),
        ("bloom", {"n_layer": 2, "hidden_size": 96, "n_head": 6, "vocab_size": 100}, 24576),
        ("mpt", {"n_layers": 2, "d_model": 96, "n_heads": 6, "vocab_size": 100}, 24576),
        ("gpt_bigcode", {"n_layer": 2, "n_embd": 96, "n_head": 6, "vocab_size": 100, "n_positions": 64}, 22016),
        (
            "persimmon",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            17408,
        ),
        (
            "gpt_neox_japanese",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_multiple_size": 4,
                "vocab_size": 100,
            },
            24576,
        ),
        (
            "glm",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            20992,
        ),
        ("openai-gpt", {"n_layer": 2, "n_embd": 96, "n_head": 6, "vocab_size": 100}, 24576),
        (
            "modernbert",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            19968,
        ),
        ("codegen", {"n_layer": 2, "n_embd": 96, "n_head": 4, "vocab_size": 100, "rotary_dim": 8}, 24576),
        ("gptj", {"n_layer": 2, "n_embd": 96, "n_head": 6, "vocab_size": 100, "rotary_dim": 8}, 27648),
        (
            "opt",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "ffn_dim": 160,
                "vocab_size": 100,
                "word_embed_proj_dim": 96,
                "max_position_embeddings": 64,
            },
            20480,
        ),
        (
            "phi",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            20480,
        ),
        (
            "starcoder2",
            {
                "num_hidden_layers": 2,
                "hidden_size": 96,
                "num_attention_heads": 6,
                "intermediate_size": 160,
                "vocab_size": 100,
            },
            18432,
        ),
    ],
)
def test_adapters_stand_beside_the_matrices_that_are_stored(family, sizes, params):
    """Of queries, keys and values (or gate and up) in one matrix there is one adapter, as PEFT makes it."""
    model = read_model({"model_type": family, **sizes})
    assert weights_of(model.architecture, method_of(tune="lora")[0]).trained == params


def test_adapters_on_stored_matrices_change_nothing_else():
    """A trainer with models of its own splits them; of one target the whole matrix has the adapter."""
    phi = read_model(PublicModels().get("phi-3-mini")).architecture
    width, inner, layers, rank = 3072, 8192, 32, 8

    def trained(**options):
        return weights_of(phi, method_of(tune="lora", rank=rank, **options)[0]).trained

    assert trained(targets="q") == trained(targets="q,k,v") == layers * rank * (width + 3 * width)
    assert trained(targets="gate") == layers * rank * (width + 2 * inner)
    assert (
        trained(targets="q", also="split") == trained(targets="q", trainer="torchtune") == layers * rank * 2 * width
    )
    assert trained() == trained(also="split") - layers * rank * (2 + 1) * width
