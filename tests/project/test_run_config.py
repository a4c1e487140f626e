"""The size of a model from a training config: exact, or named as undetermined with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.trainers.kinds import KINDS

from scaleplan.documents.document import parse_document
from scaleplan.errors import FileError
from scaleplan.project.run_config import model_of

NANOGPT = '{"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50304, "block_size": 1024, "bias": false}'
LLAMA2 = {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-5}
LLAMA3 = {
    "dim": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "multiple_of": 1024,
    "ffn_dim_multiplier": 1.3,
}


def size(text, name):
    """Return the parameters of the model that a text describes."""
    return model_of(parse_document(text, name=name)).params


OLMO = """\
model:
  d_model: 2048
  n_heads: 16
  n_layers: 16
  mlp_hidden_size: 16384
  weight_tying: true
  include_bias: false
  rope: true
  layer_norm_with_affine: false
  activation_type: swiglu
  max_sequence_length: 2048
  embedding_size: 50304
"""
MEGATRON = """\
torchrun pretrain.py --num-layers 24 --hidden-size 2048 --num-attention-heads 16 \\
  --group-query-attention --num-query-groups 4 --position-embedding-type rope --swiglu --normalization RMSNorm \\
  --disable-bias-linear --untie-embeddings-and-output-weights --vocab-size 32000 --tensor-model-parallel-size 4
"""


@pytest.mark.parametrize(
    "name, text, params",
    [
        # V d + 16 (4 d^2 + 3 d 8192): half of mlp_hidden_size is the gate
        ("train.yaml", OLMO, 50304 * 2048 + 16 * (4 * 2048**2 + 3 * 2048 * 8192)),
        # a table of 32256 rows (128 x 4), an inner width of int(8192 x 2/3 / 64) x 64 = 5440, 4 of 16 key heads
        ("run.sh", MEGATRON, 2 * 32256 * 2048 + 24 * (2.5 * 2048**2 + 3 * 2048 * 5440) + 49 * 2048),
        # V d + T d + 12 (12 d^2) + 25 d
        ("sizes.json", NANOGPT, 50304 * 768 + 1024 * 768 + 144 * 768**2 + 25 * 768),
        ("sizes.json", NANOGPT.replace("false", "true"), 124_475_904),  # GPT-2's 124,439,808 and 47 rows more
        ("train.py", "block_size = 1024\nmax_iters = 600000\n", 124_373_760),
        (
            "train.py",
            "block_size = 256\nmax_iters = 5000\nn_layer = n_head = 6\nn_embd = 2 * 192\nvocab_size = 65\n",
            10_745_088,
        ),
        ("params.json", json.dumps({**LLAMA2, "vocab_size": 32000}), 6_738_415_616),  # as its authors have it
        ("params.json", json.dumps(LLAMA3), 8_030_261_248),
        ("train.toml", '[model]\nname = "llama3"\nflavor = "8B"\n', 8_030_261_248),
        (
            "config.json",
            json.dumps(
                {
                    "model_type": "gpt2",
                    "n_layer": 12,
                    "n_head": 12,
                    "n_embd": 768,
                    "vocab_size": 50257,
                    "n_positions": 1024,
                }
            ),
            124_439_808,
        ),
    ],
)
def test_sizes_are_counted_exactly(name, text, params):
    """nanoGPT by its config in JSON or Python, Llama by its params.json, any model by its config.json."""
    assert size(text, name) == params


@pytest.mark.parametrize(
    "name, text, line",
    [
        ("params.json", json.dumps({**LLAMA2, "vocab_size": -1}, indent=1), 7),
        ("params.json", json.dumps(LLAMA2), 1),
        ("train.yaml", "x: 1\nmodel:\n  d_model: 4096\n  n_heads: 32\n  n_layers: 32\n", 3),
        ("train.yaml", "model:\n  d_model: 4096\n  n_heads: 32\n  n_layers: 32\n  mlp_hidden_size: 22016\n", 2),
        ("train.yaml", "model:\n  type: llama\n  hidden_dim: 4096\n", 3),
        ("train.yaml", "base_model: some/model\n", 1),
        ("train.yaml", "base_model: some/model\nmicro_batch_size: 2\n", 1),
        ("train.yaml", "steps: 5\n", None),
        ("train.toml", '[model]\nname = "llama3"\nflavor = "8Z"\n', 3),
        ("run.sh", "train --num-layers 24 \\\n  --hidden-size $H --num-attention-heads 16\n", 2),
        ("train.py", "block_size = 1024\nmax_iters = 5\nn_layer = f(3)\n", 3),
        ("sizes.json", NANOGPT.replace(', "bias": false', ""), None),
    ],
)
def test_what_the_file_does_not_determine_is_named(name, text, line):
    """With the file, the line of the key that comes nearest, and what to give instead."""
    with pytest.raises(FileError) as caught:
        size(text, name)
    assert (caught.value.file, caught.value.line) == (name, line)
    assert caught.value.message.startswith(f"{name}:{line}: " if line else f"{name}: ")
    assert "give " in caught.value.hint


@pytest.mark.parametrize(
    "more",
    [
        *("--num-experts 8", "--mtp-num-layers 1", "--hybrid-override-pattern M-M*", "/opt/megatron/pretrain_t5.py"),
        *("--experimental-attention-variant gated_delta_net", "--attention-output-gate", "--softmax-type learnable"),
        *("--heterogeneous-layers-config-path layers.json", "--retro-add-retriever", "--spec plugins.next get_spec"),
    ],
)
def test_a_model_that_is_not_counted_here_is_refused(more):
    """Experts with biases and layers of other kinds change the count: never counted as if they were not there."""
    sizes = "train --num-layers 2 --hidden-size 64 --num-attention-heads 4 --max-position-embeddings 128"
    with pytest.raises(FileError, match="not counted here"):
        size(f"{sizes} --vocab-size 1000 {more}\n", "run.sh")
    assert size(f"{sizes} --vocab-size 1000 --softmax-type vanilla pretrain_gpt.py\n", "run.sh") > 0


def test_a_run_s_model_may_be_its_training_config(cli):
    """The size, the batch and the steps of one file."""
    Path("train.py").write_text(
        "batch_size = 12\nblock_size = 1024\ngradient_accumulation_steps = 5 * 8\nmax_iters = 600000\n"
    )
    tokens = '{ batch = ["batch_size", "gradient_accumulation_steps"], sequence = "block_size", steps = "max_iters" }'
    Path("scaleplan.toml").write_text(
        f'[[run]]\nname = "r"\nfrom = "train.py"\nmodel = "train.py"\ntokens = {tokens}\n'
    )
    (run,) = json.loads(cli("check", "--json", "-q").out)["runs"]
    assert (run["values"]["params"], run["values"]["tokens"]) == (124_373_760, 294_912_000_000)


def test_a_model_that_is_undetermined_is_annotated_in_its_file(cli):
    """At the line of the config, as any other value of a run."""
    Path("train.yaml").write_text("# sizes\nmodel:\n  d_model: 4096\n  n_heads: 32\n  n_layers: 32\n")
    Path("scaleplan.toml").write_text('[[run]]\nname = "r"\nmodel = "train.yaml"\ntokens = "20B"\n')
    result = cli("check", "--format", "github", "-q")
    assert result.status == 2
    assert result.out.startswith("::error file=train.yaml,line=3,")


BESIDE = {"name": '"r"', "price": "2", "gpu": '"h100-sxm"'}
"""What every run below gives; its tokens are given where the file leaves its length open."""


def a_run(kind, name="r"):
    """Return the project of a run that names a config, and gives what is not in it."""
    given = {
        **BESIDE,
        "name": f'"{name}"',
        "config": f'"{kind.file}"',
        **{name: str(value) for name, value in kind.beside.items()},
    }
    if "tokens" not in kind.values and not (
        "tokens" in kind.open and "gpus" in kind.beside and "steps" in kind.values
    ):
        given["tokens"] = '"1B"'
    return "[[run]]\n" + "".join(f"{name} = {value}\n" for name, value in given.items())


def test_a_change_of_the_model_changes_the_bill(cli, repository, git):
    """The width in a config of any trainer: the difference shows it, at the line of the change."""
    kinds = [kind for kind in KINDS if kind.change[0]]
    (repository / "scaleplan.toml").write_text("".join(a_run(kind, kind.file) for kind in kinds))
    for kind in kinds:
        (repository / kind.file).write_text(kind.text)
    git("add", ".")
    git("commit", "-q", "-m", "the configs")
    for kind in kinds:
        (repository / kind.file).write_text(kind.text.replace(*kind.change))
    before = json.loads(cli("diff", "--base", "main", "--json", "-q").out)
    costs = {each["run"]: each for each in before["changes"] if each["quantity"] == "cost" and each["run"]}
    assert {name: 0 < each["before"] < each["after"] for name, each in costs.items()} == {
        kind.file: True for kind in kinds
    }
    result = cli("diff", "--base", "main", "--fail-on", "cost increase > 0.1%", "--format", "github", "-q")
    assert result.status == 1
    for kind in kinds:
        line = 1 + next(n for n, text in enumerate(kind.text.split("\n")) if kind.change[0] in text)
        assert f"file={kind.file},line={line}," in result.out


def test_what_a_run_gives_wins_over_its_config(cli):
    """Tokens, devices and the size; what is missing is asked for, with the line where the config leaves it open."""
    kind = next(each for each in KINDS if each.trainer == "axolotl")
    Path(kind.file).write_text(kind.text.replace("max_steps: 1000", "num_epochs: 3"))
    run = f'[[run]]\nname = "r"\nconfig = "{kind.file}"\ngpus = 8\ngpu = "h100-sxm"\n'
    Path("scaleplan.toml").write_text(run)
    result = cli("check", "--json", "-q")
    (verdict,) = json.loads(result.out)["verdicts"]
    assert result.status == 2
    assert (verdict["file"], verdict["line"]) == (kind.file, 9)
    assert "passes over the data" in verdict["message"]
    Path("scaleplan.toml").write_text(run + 'tokens = "3B"\n[policy]\nerror = ["params <= 9B", "tokens = 3B"]\n')
    assert cli("check").status == 0
    Path("scaleplan.toml").write_text(run + 'tokens = "3B"\nparams = "1B"\n[policy]\nerror = ["params = 1B"]\n')
    assert cli("check").status == 0


def test_an_include_does_not_leave_the_folder(cli):
    """A file above is not read, one beside is: by a command, and by a run of a project."""
    small = "type: llama\nhidden_dim: 64\nintermediate_dim: 128\nnum_layers: 2\nnum_heads: 4\nnum_kv_heads: 4\n"
    Path("in").mkdir()
    Path("small.yaml").write_text(small)
    Path("in/a.yaml").write_text("model: !include ../small.yaml\ntrainer: {train_batch_size: 8}\n")
    result = cli("model", "in/a.yaml")
    assert result.status == 2
    assert "'../small.yaml', which is no YAML beside or below it" in " ".join(result.err.split())
    Path("a.yaml").write_text("model: !include small.yaml\ntrainer: {train_batch_size: 8}\n")
    assert cli("model", "a.yaml", "--vocab", "100", "--get", "layers").out == "2\n"
    run = '[[run]]\nname = "r"\nconfig = "{}"\nvocab = 100\ntokens = "1B"\n'
    Path("scaleplan.toml").write_text(run.format("a.yaml"))
    (shown,) = json.loads(cli("check", "--json", "-q").out)["runs"]
    assert shown["values"]["params"] == 2 * 100 * 64 + 2 * (4 * 64**2 + 3 * 64 * 128 + 2 * 64) + 64
    Path("in/scaleplan.toml").write_text(run.format("a.yaml"))
    assert cli("check", "in/scaleplan.toml", "-q").status == 2


def test_a_model_may_stand_beside_arguments(cli):
    """TrainingArguments have no model and no sequence: the run gives both."""
    Path("args.json").write_text(
        '{"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 50}'
    )
    Path("scaleplan.toml").write_text(
        '[[run]]\nname = "r"\nconfig = "args.json"\nmodel = "gpt2"\ncontext = 1024\ngpus = 8\ngpu = "h100-sxm"\n'
    )
    (run,) = json.loads(cli("check", "--json", "-q").out)["runs"]
    assert (run["values"]["params"], run["values"]["tokens"]) == (124_439_808, 50 * 4 * 2 * 8 * 1024)


def test_init_writes_a_run_for_each_config_that_it_finds(cli):
    """By name and path, with what each leaves open as a key to fill in; what is no config is passed over."""
    kinds = {kind.file: kind for kind in KINDS}
    for folder, name in (("configs", "lora.yml"), ("configs", "nemo.yaml"), ("scripts", "pretrain.sh")):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / name).write_text(kinds[name].text)
    for folder in (".hidden", "node_modules"):
        Path(folder).mkdir()
        (Path(folder) / "nemo.yaml").write_text(kinds["nemo.yaml"].text)
    Path("broken.yaml").write_text("a: [")
    Path("other.py").write_text("import os\nprint(os.environ)\n")
    result = cli("init", "--json")
    found = json.loads(result.out)
    assert found["configs"] == ["configs/lora.yml", "configs/nemo.yaml", "scripts/pretrain.sh"]
    text = Path("scaleplan.toml").read_text()
    assert "# gpus = …  # not in the file: the launcher sets the GPUs" in text
    checked = json.loads(cli("check", "--json", "-q").out)
    assert [run["name"] for run in checked["runs"]] == ["lora", "nemo", "pretrain"]
    assert [bool(run["values"]) for run in checked["runs"]] == [False, True, True]
    Path("scaleplan.toml").write_text(text.replace("# gpus = …", "gpus = 8"))
    assert all(run["values"] for run in json.loads(cli("check", "--json", "-q").out)["runs"])


def test_a_fresh_project_is_judged_at_once(cli):
    """Only limits that the runs found determine are written; the others are comments, for a run without devices."""
    kinds = {kind.file: kind for kind in KINDS}
    Path("nanotron.yaml").write_text(kinds["nanotron.yaml"].text)
    assert cli("init").status == 0
    limits = {each["limit"] for each in json.loads(cli("check", "--json", "-q").out)["verdicts"]}
    assert "days <= 30" in limits
    assert not any(limit.startswith("loss") for limit in limits)
    Path("nanotron.yaml").unlink()
    Path("olmo.yaml").write_text(kinds["olmo.yaml"].text)
    assert cli("init", "--force").status == 0
    text = Path("scaleplan.toml").read_text()
    assert '  # "days <= 30",  # needs gpus in every run' in text
    result = cli("check", "--json", "-q")
    assert result.status == 0
    assert {each["status"] for each in json.loads(result.out)["verdicts"]} <= {"pass", "warn"}
    Path("scaleplan.toml").write_text(
        text.replace("# gpus = …", "gpus = 8").replace('# "days <= 30",', '"days <= 30",')
    )
    limits = {each["limit"] for each in json.loads(cli("check", "--json", "-q").out)["verdicts"]}
    assert "days <= 30" in limits


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.params], ids=lambda kind: kind.file)
def test_model_and_memory_read_a_training_config(cli, kind):
    """The counts, and the memory of a device with what the config states."""
    Path(kind.file).write_text(kind.text)
    assert cli("model", kind.file, "--get", "params").out == f"{kind.params}\n"
    result = cli("memory", kind.file, "--gpu", "b200", "--json")
    assert result.status in (0, 1)
    found = json.loads(result.out)
    assert found["params"] == kind.params
    if "gpus" in kind.values:
        assert found["gpus"] == kind.values["gpus"]
    assert kind.file in result.err or kind.trainer == "params.json"


def test_a_vocabulary_that_lacks_is_asked_for(cli):
    """What does not depend on it is the answer, and with it everything is; memory needs it."""
    kind = next(each for each in KINDS if each.trainer == "Marin")
    Path(kind.file).write_text(kind.text)
    result = cli("model", kind.file, "--json")
    found = json.loads(result.out)
    assert result.status == 0
    assert found["non_embedding_params"] == 12 * (4 * 1024**2 + 3 * 1024 * 3072 + 2 * 1024) + 1024
    assert found["table_params_per_row"] == 2 * 1024
    assert f"{kind.file}:3" in result.err
    assert "--vocab" in result.err
    whole = cli("model", kind.file, "--vocab", "128256", "--get", "params").out
    assert int(whole) == found["non_embedding_params"] + 2 * 1024 * 128256
    assert cli("memory", kind.file, "--gpu", "h100-sxm").status == 2
    assert cli("memory", kind.file, "--gpu", "h100-sxm", "--vocab", "128256").status == 0
    Path("saved.json").write_text(result.out)
    assert "non-embedding" in cli("show", "saved.json").out


def test_a_vocabulary_that_is_stated_is_no_question(cli):
    """A config.json has its own."""
    Path("config.json").write_text(
        json.dumps(
            {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "vocab_size": 100, "n_positions": 64}
        )
    )
    assert cli("model", "config.json", "--vocab", "200").status == 2


def test_model_tells_the_run_of_a_training_config(cli):
    """Batch, length and devices beside the counts, what is open in words; a saved one is shown alike."""
    kind = next(each for each in KINDS if each.file == "nanotron.yaml")
    Path(kind.file).write_text(kind.text)
    result = cli("model", kind.file, "--json")
    run = json.loads(result.out)["training"]
    assert (run["trainer"], run["tokens_per_step"], run["steps"], run["gpus"]) == ("Nanotron", 64 * 2048, 100, 8)
    assert (run["data_parallel"], run["tensor_parallel"], run["pipeline_parallel"], run["open"]) == (2, 2, 2, [])
    Path("saved.json").write_text(result.out)
    line = "Nanotron: 64 sequences of 2,048 tokens (131k tokens a step), 100 steps, 13.1M tokens, 8 GPUs"
    for shown in (cli("model", kind.file).out, cli("show", "saved.json").out):
        assert line in " ".join(shown.split())
    Path("mine.yaml").write_text(kind.text.replace("dp: 2, ", ""))
    opened = json.loads(cli("model", "mine.yaml", "--json").out)["training"]["open"]
    assert any(
        text.startswith("the number of GPUs is not in the file: ") and text.endswith("; give --gpus")
        for text in opened
    )


SAMPLES = Path(__file__).parents[2].parent / "shared" / "cases" / "training_configs"

WIDER = {
    "megatron_pretrain.sh": ("--hidden-size 2048", "--hidden-size 4096", ""),
    "megatron_args.yaml": ("hidden_size: 768", "hidden_size: 1536", ""),
    "nemo_gpt.yaml": ("hidden_size: 2048", "hidden_size: 4096", "vocab = 50257"),
    "gpt_neox.yml": ('"hidden_size": 2048', '"hidden_size": 4096', "vocab = 50257"),
    "olmo.yaml": ("d_model: 2048", "d_model: 4096", ""),
    "olmo_core.py": ("olmo2_1B", "olmo2_7B", ""),
    "torchtitan.toml": ('"8B"', '"70B"', "gpus = 64"),
    "torchtitan_registry.py": ('"8B"', '"70B"', "gpus = 64"),
    "litgpt_pretrain.yaml": ("tiny-llama-1.1b", "Llama-2-7b-hf", ""),
    "levanter.yaml": ("hidden_dim: 4096", "hidden_dim: 8192", "vocab = 128256"),
    "llm_foundry.yaml": ("d_model: 4096", "d_model: 8192", ""),
    "nanotron.yaml": ("hidden_size: 2048", "hidden_size: 4096", ""),
    "nanogpt_train.py": ("weight_decay", "n_embd = 1536\nweight_decay", ""),
    "nanochat_run.sh": ("--depth=20", "--depth=26", "vocab = 65536"),
    "axolotl.yaml": ("Meta-Llama-3.1-8B", "Meta-Llama-3.1-70B", 'tokens = "1B"'),
    "training_args.json": ('"max_steps": 20000', '"max_steps": 30000', 'model = "gpt2"\ncontext = 1024\ngpus = 8'),
    "maxtext_run.sh": ("llama3-8b", "llama3-70b", ""),
    "marin_experiment.py": ("hidden_dim=2048", "hidden_dim=4096", "vocab = 128256"),
}
"""A change of the model in each sample, or of the steps where it names none, and what a run gives beside it."""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared folder is not here")
def test_a_wider_model_costs_more_in_every_sample(cli, repository, git):
    """The bill before and after, from the file alone and what the run gives."""
    runs = []
    for name, (_, _, given) in WIDER.items():
        own = {**BESIDE, "name": f'"{name}"', "config": f'"{name}"'}
        runs += ["[[run]]", *(f"{key} = {value}" for key, value in own.items()), given]
        (repository / name).write_text((SAMPLES / name).read_text())
    (repository / "scaleplan.toml").write_text("\n".join((*runs, "")))
    git("add", ".")
    git("commit", "-q", "-m", "the configs")
    for name, (old, new, _) in WIDER.items():
        text = (SAMPLES / name).read_text()
        assert old in text
        (repository / name).write_text(text.replace(old, new))
    changes = json.loads(cli("diff", "--base", "main", "--json", "-q").out)["changes"]
    costs = {
        each["run"]: 0 < each["before"] < each["after"]
        for each in changes
        if each["quantity"] == "cost" and each["run"]
    }
    assert costs == dict.fromkeys(WIDER, True)


def test_further_places_are_named_once_and_a_few(cli):
    """A limit on a run whose values stand in twenty lines of its config points at the first of them, each once."""
    Path("pretrain.sh").write_text(KINDS[0].text, encoding="utf-8")
    policy = '[policy]\nerror = ["cost <= 1 USD"]\n'
    Path("scaleplan.toml").write_text(
        f'[[run]]\nname = "a"\nconfig = "pretrain.sh"\ngpu = "h100-sxm"\n{policy}', encoding="utf-8"
    )
    told = " ".join(cli("check").out.split()).partition("see also ")[2].partition(" lines more")[0]
    places = re.findall(r"[\w.]+:\d+", told)
    assert len(places) == len(set(places)) == 3
    assert re.search(r" and \d+$", told)


def test_what_neither_side_determines_is_told_once(cli, repository, git):
    """A config that lacks its tokens before and after is one line, whose place stands at its beginning alone."""
    project = "".join(
        f'[[run]]\nname = "{name}"\nconfig = "{name}.yaml"\ngpu = "h100-sxm"\ngpus = 8\n' for name in "ab"
    )
    text = "base_model: gpt2\nsequence_len: 512\nmicro_batch_size: 4\ngradient_accumulation_steps: 2\n"
    (repository / "scaleplan.toml").write_text(project)
    (repository / "a.yaml").write_text(f"{text}num_epochs: 3\n")
    (repository / "b.yaml").write_text(f"{text}max_steps: 100\n")
    git("add", ".")
    git("commit", "-q", "-m", "configs")
    (repository / "b.yaml").write_text(f"{text}max_steps: 200\n")
    told = " ".join(cli("diff", "--base", "main", "-q").out.split())
    assert told.count("run 'a' cannot be planned") == told.count("a.yaml:5") == 1
    assert "on both sides" in told
    assert "+100 %" in told
