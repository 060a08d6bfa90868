import json

import pytest

from discern.config.loading import experiment_config, load_experiments, read_json
from discern.errors import MissingParameterError, ParametersError


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "parameters.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def faults_of(path):
    """The lines of the message, without the first."""
    with pytest.raises(ParametersError) as error:
        load_experiments(path)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def experiment(section, *keys, **values):
    """A file of one experiment whose object at ``section.keys`` holds ``values``."""
    content = values
    for key in reversed((section, *keys)):
        content = {key: content}
    return {"experiments": {"run": content}}


def test_a_file_of_experiments(write):
    path = write({"exp_param": {"experiments_dir": "here"}, "experiments": {"a": {}, "group/b": {"model": {}}}})
    a, b = load_experiments(path)
    assert (a.name, str(a.folder), a.content) == ("a", "here/a", {})
    assert (b.name, str(b.folder), b.content) == ("group/b", "here/group/b", {"model": {}})
    assert a.config == b.config  # defaults


def test_the_file_inside_an_experiment_folder(write):
    path = write({"training": {"max_steps": 7}})
    (one,) = load_experiments(path)
    assert (one.name, one.folder) == (path.parent.name, path.parent.resolve())
    assert one.config.training.max_steps == 7


def test_a_byte_order_mark_is_no_fault(write):
    assert load_experiments(write('\ufeff{"experiments": {"a": {}}}'))[0].name == "a"


@pytest.mark.parametrize(
    ("path", "unknown", "nearest"),
    [
        ((), "trainin", "training"),
        (("input_ds",), "raw_inputs", "raw_input"),
        (("input_ds", "filtering"), "min_gene", "min_genes"),
        (("input_ds", "scale"), "LSM", "LSN"),
        (("input_ds", "scale", "fixed_scaling"), "means", "mean"),
        (("input_ds", "split"), "split_sed", "split_seed"),
        (("model",), "latentdim", "latent_dim"),
        (("model",), "wae_lamda", "wae_lambda"),
        (("model", "encoder"), "layer", "layers"),
        (("model", "decoder"), "normtype", "norm_type"),
        (("model", "crossentropy"), "label_smothing", "label_smoothing"),
        (("training",), "batchsize", "batch_size"),
        (("training", "early_stopping"), "patients", "patience"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(write, path, unknown, nearest):
    content = experiment(*path, **{unknown: 1}) if path else {"experiments": {"run": {unknown: 1}}}
    where = ".".join(("experiments", "run", *path, unknown))
    assert faults_of(write(content)) == [f"{where}: unknown key. Did you mean '{nearest}'?"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"experiments": {"a": {}}, "exp_params": {}}, "exp_params: unknown key. Did you mean 'exp_param'?"),
        (
            {"experiments": {"a": {}}, "exp_param": {"experiment_dir": "x"}},
            "exp_param.experiment_dir: unknown key. Did you mean 'experiments_dir'?",
        ),
        (experiment("training", qqq=1), "experiments.run.training.qqq: unknown key. Known: batch_size, max_steps, "),
    ],
)
def test_unknown_keys_outside_the_sections(write, content, fault):
    (found,) = faults_of(write(content))
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (experiment("training", optimizer={"algorithm": "Adan"}), "unknown optimizer 'Adan'. Did you mean 'Adam'?"),
        (
            experiment("training", optimizer={"algorithm": "Adam", "beta1": 0.9}),
            "'Adam' does not take 'beta1' (did you mean 'beta_1'?)",
        ),
        (experiment("training", optimizer={"learning_decay": {"name": "Exp"}}), "unknown learning rate schedule 'Exp'"),
        (experiment("training", optimizer={"learning_decay": {"decay_steps": 1}}), "learning_decay needs a 'name'"),
        (
            experiment("training", optimizer={"learning_decay": {"name": "CosineDecay", "decay_step": 1}}),
            "does not take 'decay_step' (did you mean 'decay_steps'?)",
        ),
        (experiment("model", activation_fn="mich"), "unknown activation 'mich'. Did you mean 'mish'?"),
        (experiment("model", output_fn="os.system"), "unknown output function 'os.system'"),
        (
            experiment("model", norm_type=["layrnorm"] * 3),
            "unknown normalisation 'layrnorm'. Did you mean 'layernorm'?",
        ),
        (experiment("model", conditional_regularization={"name": "L3"}), "unknown regularizer 'L3'"),
        (
            experiment("model", reconstruction_loss={"name": "Lnorm", "weight_clipping": 1}),
            "'Lnorm' does not take 'weight_clipping'",
        ),
        (experiment("model", reconstruction_loss="Lnorm"), "reconstruction loss 'Lnorm' needs 'p'"),
        (
            experiment("model", reconstruction_loss={"name": "HuberLoss", "delta": "9"}),
            "'delta' of reconstruction loss",
        ),
        (
            experiment("training", optimizer={"learning_decay": {"name": "CosineDecay"}}),
            "learning rate schedule 'CosineDecay' needs 'decay_steps'",
        ),
        (experiment("model", reconstruction_loss={"p": 1}), "a reconstruction loss needs a 'name'"),
        (experiment("model", name="vae"), "run.model.name: unknown model family 'vae'. Did you mean 'wae'?"),
    ],
)
def test_unknown_names_suggest_the_nearest(write, content, fault):
    faults = faults_of(write(content))
    assert faults
    assert all(fault in line for line in faults)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (experiment("model", latent_dim=-3), "model.latent_dim: Input should be greater than 0 (received -3)"),
        (experiment("model", encoder=None), "model.encoder: give an object {...} (received None)"),
        ({"experiments": {"run": {"model": []}}}, "model: give an object {...} (received [])"),
        (experiment("training", GPU=0), "training.GPU: give a list [...] (received 0)"),
        (experiment("training", XLA="perhaps"), "training.XLA: give true, false or 'auto' (received 'perhaps')"),
        (experiment("training", seed=-1), "training.seed: Input should be greater than or equal to 0 (received -1)"),
        (experiment("training", max_steps=1.5), "training.max_steps: Input should be a valid integer"),
        (experiment("input_ds", raw_input="x.h5ad"), "raw_input: give a list of paths, or an object"),
        (experiment("input_ds", raw_input=["x", "x"]), "raw_input: a path is named twice"),
        (experiment("input_ds", "split", valid_cells=1), "split.valid_cells: 1 means all"),
        (experiment("input_ds", "split", valid_cells=0.5, test_cells=0.5), "leave no cell to train on"),
        (experiment("input_ds", "scale", fixed_scaling={"mean": "gene"}), "mean: give 'genes' or a number"),
    ],
)
def test_wrong_values_are_told_with_path_and_what_was_received(write, content, fault):
    assert any(fault in line for line in faults_of(write(content)))


def test_all_faults_of_all_experiments_are_told_at_once(write):
    content = {
        "exp_param": {"experiments_dir": 3},
        "experiments": {
            "../x": {},
            "float": {
                "model": {"latent_dim": 0, "latentdim": 2, "layers": [4], "enc_layers": [4], "activation_fn": "mis"}
            },
            "run[1]": {"training": {"max_step": 1, "early_stopping": {"delay": -1}}, "input_ds": {"filter": {}}},
        },
    }
    with pytest.warns(FutureWarning, match="old spelling"):
        faults = faults_of(write(content))
    paths = [line.split(": ")[0] for line in faults]
    assert sorted(paths) == sorted(
        [
            "exp_param.experiments_dir",
            "experiments.../x",
            "experiments.float.model.latent_dim",
            "experiments.float.model.latentdim",
            "experiments.float.model.layers",
            "experiments.float.model.activation_fn",
            "experiments.run[1].training.max_step",
            "experiments.run[1].training.early_stopping.delay",
            "experiments.run[1].input_ds.filter",
        ]
    )


def test_the_first_line_counts_the_faults_and_names_the_file(write):
    path = write(experiment("model", latent_dim=0, latentdim=0))
    with pytest.raises(ParametersError) as error:
        load_experiments(path)
    assert str(error.value).splitlines()[0] == f"{path} has 2 invalid entries:"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"experiments": {"a": {}, "a": {}}}', "the key 'a' stands twice"),
        ('{"experiments": {"a": {"model": {"latent_dim": 3, "latent_dim": 4}}}}', "the key 'latent_dim' stands twice"),
        ('{"experiments": {"a": {"model": {"wae_lambda": NaN}}}}', "NaN is no JSON number"),
        ('{"experiments": {"a": {"model": {"wae_lambda": -Infinity}}}}', "-Infinity is no JSON number"),
        ('{"experiments": {"a": {"model": {"wae_lambda": 1e999}}}}', "Input should be a finite number"),
        ("{\n'a': 1}", "no valid JSON: line 2, column 1"),
        ("", "no valid JSON: line 1"),
        ("[" * 100_000, "no valid JSON"),
        ("[]", "holds a list, expected an object"),
        ("{}", "holds neither 'experiments' nor the sections of one experiment .* Found: nothing"),
        ('{"model_a": {}}', "Found: model_a"),
        ('{"exp_param": {}}', "experiments: required, but absent"),
        ('{"experiments": {}}', "experiments: Dictionary should have at least 1 item"),
        ('{"experiments": []}', r"experiments: give an object \{...\} \(received \[\]\)"),
        ('{"experiments": {"a": null}}', "experiments.a: give an object"),
    ],
)
def test_files_that_cannot_be_read_name_themselves(write, text, message):
    path = write(text)
    with pytest.raises(ParametersError, match=message) as error:
        load_experiments(path)
    assert str(path) in str(error.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "parameters.json"
    path.write_bytes(b'{"experiments": "\xff\xfe"}')
    with pytest.raises(ParametersError, match="no valid JSON"):
        read_json(path)


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(ParametersError, match=r"is a folder\. Give the parameters\.json inside it"):
        load_experiments(tmp_path)
    with pytest.raises(ParametersError, match=r"absent\.json does not exist"):
        load_experiments(tmp_path / "absent.json")


def test_missing_keys_are_key_errors_too(write):
    with pytest.raises(KeyError) as error:
        load_experiments(write({"other": 1}))
    assert isinstance(error.value, MissingParameterError)
    assert str(error.value).startswith(str(write({})))  # not the quoted form of a KeyError


def test_one_experiment_as_a_dictionary_stays_unchanged():
    content = {"model": {"layers": [4], "norm_type": ["layernorm"]}, "training": {"optimizer": {"learning_rate": 0.1}}}
    before = json.dumps(content)
    config = experiment_config(content)
    assert config.model.decoder.layers == [4]
    assert config.training.optimizer.learning_rate == 0.1
    assert json.dumps(content) == before
