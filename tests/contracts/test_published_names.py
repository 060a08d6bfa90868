"""Every published name imports from the published module with the published parameters."""

import inspect
from importlib import import_module

import keras
import pytest

REQUIRED = inspect.Parameter.empty

# module -> name -> parameters in their order, `...` for any default. Optional parameters of ours may follow.
NAMES = {
    "discern": {
        "DISCERN": {},
        "WAERecipe": {"params": REQUIRED, "inputs": None, "input_files": None, "n_jobs": -1},
    },
    "discern.estimators": {"DISCERNRunner": {"debug": False, "gpus": None}},
    "discern.estimators.batch_integration": {"DISCERN": {}},
    "discern.estimators.callbacks": {
        "DelayedEarlyStopping": {
            "delay": 0,
            "monitor": "val_loss",
            "min_delta": 0.0,
            "patience": 0,
            "verbose": 0,
            "mode": "auto",
            "baseline": None,
            "restore_best_weights": False,
        },
        "VisualisationCallback": {"outdir": REQUIRED, "data": REQUIRED, "batch_size": REQUIRED, "freq": 10},
        "create_callbacks": {
            "early_stopping_limits": REQUIRED,
            "exp_folder": REQUIRED,
            "inputdata": None,
            "umap_cells_no": None,
            "profile_batch": 2,
            "freq_of_viz": 30,
        },
    },
    "discern.estimators.customlayers": {
        "GaussianReparametrization": {},
        "MMDPP": {"scale": REQUIRED},
        "SigmaRegularization": {},
        "condlayernorm": {"input_cells": REQUIRED, "labels": REQUIRED, "size": REQUIRED, "regularization": None},
        "mmdpp_penalty": {
            "sample_qz": REQUIRED,
            "sample_pz": REQUIRED,
            "encoder_sigma": REQUIRED,
            "total_number_cells": REQUIRED,
            "latent_dim": REQUIRED,
        },
        "getmembers": {},
    },
    "discern.estimators.losses": {
        "HuberLoss": {"delta": 1.0},
        "Lnorm": {"p": REQUIRED, "name": ..., "reduction": ..., "axis": 0, "epsilon": 1e-20, "use_root": False},
        "MaskedCrossEntropy": {"zeros": REQUIRED, "zeros_eps": 1e-6, "lower_label_smoothing": 0.0},
        "DummyLoss": {},
        "reconstruction_loss": {"loss_type": REQUIRED},
        "getmembers": {},
    },
    "discern.estimators.run_exp": {
        "CheckMetaData": {"dataframe": REQUIRED},
        "DISCERNRunner": {"debug": False, "gpus": None},
        "run_exp_multiprocess": {
            "exp_folder": REQUIRED,
            "available_gpus": REQUIRED,
            "func": REQUIRED,
            "kwargs": None,
        },
        "run_projection": {
            "exp_folder": REQUIRED,
            "metadata": REQUIRED,
            "infile": REQUIRED,
            "all_batches": REQUIRED,
            "store_sigmas": REQUIRED,
        },
        "run_train": {"exp_folder": REQUIRED, "input_path": None},
        "setup_exp": {"exp_folder": REQUIRED},
    },
    "discern.estimators.utilities_wae": {
        "create_encoder": {
            "latent_dim": REQUIRED,
            "enc_layers": REQUIRED,
            "enc_norm_type": REQUIRED,
            "activation_fn": REQUIRED,
            "input_dim": REQUIRED,
            "n_labels": REQUIRED,
            "regularization": REQUIRED,
            "conditional_regularization": None,
        },
        "create_decoder": {
            "latent_dim": REQUIRED,
            "output_cells_dim": REQUIRED,
            "dec_layers": REQUIRED,
            "dec_norm_type": REQUIRED,
            "activation_fn": REQUIRED,
            "output_fn": REQUIRED,
            "n_labels": REQUIRED,
            "regularization": REQUIRED,
            "output_lsn": None,
            "conditional_regularization": None,
        },
        "create_model": {"encoder": REQUIRED, "decoder": REQUIRED, "total_number_cells": REQUIRED, "name": "WAE"},
        "load_model_from_directory": {"directory": REQUIRED},
    },
    "discern.io": {
        "DISCERNData": {"adata": REQUIRED, "batch_size": REQUIRED, "cachefile": ""},
        "TFRecordsWriter": {"out_dir": REQUIRED},
        "estimate_csr_nbytes": {"mat": REQUIRED},
        "generate_h5ad": {"counts": REQUIRED, "var": REQUIRED, "obs": REQUIRED, "save_path": None, "threshold": 0.1},
        "make_dataset_from_anndata": {"adata": REQUIRED, "for_tfrecord": False},
        "np_one_hot": {"labels": REQUIRED},
        "parse_tfrecords": {"tfr_files": REQUIRED, "genes_no": REQUIRED, "n_labels": REQUIRED},
    },
    "discern.preprocessing": {
        "WAERecipe": {"params": REQUIRED, "inputs": None, "input_files": None, "n_jobs": -1},
        "merge_data_sets": {"raw_inputs": REQUIRED, "batch_keys": ...},
        "read_process_serialize": {"job_path": REQUIRED, "with_tfrecords": True},
        "read_raw_input": {"file_path": REQUIRED},
    },
    "discern.online_learning": {
        "OnlineDISCERNRunner": {"debug": ..., "gpus": ...},
        "OnlineWAERecipe": {"reference_adata": REQUIRED},
        "online_training": {"exp_folder": REQUIRED, "filename": REQUIRED, "freeze": REQUIRED},
        "save_data": {"file": REQUIRED, "data": REQUIRED, "old_data": REQUIRED},
        "update_model": {"old_model": REQUIRED, "new_model": REQUIRED, "freeze_unchanged": False},
    },
    "discern.functions": {
        "get_function_by_name": {"func_str": REQUIRED},
        "getmembers": {"name": REQUIRED},
        "parse_mean_var": {"features": REQUIRED, "scalings": REQUIRED},
        "prepare_train_valid": {"input_tfr": REQUIRED},
        "rescale_by_params": {"adata": REQUIRED, "scalings": REQUIRED},
        "sample_counts": {"counts": REQUIRED, "probabilities": REQUIRED, "var": None, "uns": None},
        "scale": {"adata": REQUIRED, "mean": None, "var": None},
        "scale_by_params": {"adata": REQUIRED, "scalings": REQUIRED},
        "set_gpu_and_threads": {"n_threads": REQUIRED, "gpus": REQUIRED},
    },
    "discern.mmd": {"mmd_loss": {"random_cells": REQUIRED, "valid_cells": REQUIRED, "sigma": REQUIRED}},
}

# (module, class) -> method -> parameters without self
METHODS = {
    ("discern.estimators.batch_integration", "DISCERN"): {
        "from_json": {"jsondata": REQUIRED},
        "build_model": {"n_genes": REQUIRED, "n_labels": REQUIRED, "scale": REQUIRED},
        "compile": {"optimizer": REQUIRED, "scale": 15000.0},
        "get_optimizer": {},
        "restore_model": {"directory": REQUIRED},
        "training": {"inputdata": REQUIRED, "callbacks": None, "savepath": None, "max_steps": 25},
        "generate_latent_codes": {"counts": REQUIRED, "batch_labels": REQUIRED, "batch_size": REQUIRED},
        "generate_cells_from_latent": {
            "latent_codes": REQUIRED,
            "output_batch_labels": REQUIRED,
            "batch_size": REQUIRED,
        },
        "reconstruct": {"input_data": REQUIRED, "column": REQUIRED, "column_value": REQUIRED, "store_sigmas": False},
        "project_to_metadata": {
            "input_data": REQUIRED,
            "metadata": REQUIRED,
            "save_path": REQUIRED,
            "store_sigmas": False,
        },
    },
    ("discern.estimators", "DISCERNRunner"): {"__call__": {"mode": REQUIRED, "experiments": REQUIRED}},
    ("discern.estimators.run_exp", "CheckMetaData"): {"check": {"column_value": ...}},
    ("discern.io", "DISCERNData"): {
        "from_folder": {"folder": REQUIRED, "batch_size": REQUIRED, "cachefile": ""},
        "read_h5ad": {"filename": REQUIRED, "batch_size": REQUIRED, "cachefile": ""},
    },
    ("discern.io", "TFRecordsWriter"): {"write_dataset": {"dataset": REQUIRED, "split": REQUIRED}},
    ("discern.preprocessing", "WAERecipe"): {
        "filtering": {"min_genes": REQUIRED, "min_cells": REQUIRED},
        "celltypes": {},
        "scaling": {"scale": REQUIRED},
        "split": {"split_seed": REQUIRED, "valid_cells_ratio": REQUIRED, "mmd_cells_ratio": 1.0},
        "projection_pca": {"pcs": 25},
        "kernel_mmd": {"neighbors_mmd": 50, "no_cells_mmd": 2000},
        "mean_var_scaling": {},
        "__call__": {},
        "dump": {"job_dir": REQUIRED},
        "dump_tf_records": {"path": REQUIRED},
        "from_path": {"job_dir": REQUIRED},
    },
    ("discern.online_learning", "OnlineWAERecipe"): {"fix_batch_labels": {}},
}

PROPERTIES = {
    ("discern", "DISCERN"): ["encoder", "decoder"],
    ("discern.io", "DISCERNData"): ["config", "tfdata", "zeros"],
    ("discern.preprocessing", "WAERecipe"): ["config"],
}

FUNCTIONS = [(module, name, parameters) for module, names in NAMES.items() for name, parameters in names.items()]
OF_CLASSES = [(*owner, method, params) for owner, methods in METHODS.items() for method, params in methods.items()]


def assert_parameters(function, expected, skip=0):
    """The published parameters come first, in their order, and can be given by position; further ones are optional."""
    found = list(inspect.signature(function).parameters.values())[skip:]
    named = [one for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert [one.name for one in named[: len(expected)]] == list(expected)
    for parameter, default in zip(named, expected.values(), strict=False):
        assert default is ... or parameter.default == default, parameter
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for further in (one for one in found if one.name not in expected):
        assert further.default is not REQUIRED or further.kind in variable, further


@pytest.mark.parametrize(
    ("module", "name", "expected"), FUNCTIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_name_imports_with_its_parameters(module, name, expected):
    assert_parameters(getattr(import_module(module), name), expected)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, name, _ in FUNCTIONS])
def test_the_name_is_listed(module, name):
    listed = getattr(import_module(module), "__all__", None)
    assert listed is None or name in listed


@pytest.mark.parametrize(
    ("module", "owner", "method", "expected"), OF_CLASSES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_method_has_its_parameters(module, owner, method, expected):
    function = inspect.getattr_static(getattr(import_module(module), owner), method)
    is_bound = isinstance(function, classmethod)
    assert_parameters(function.__func__ if is_bound else function, expected, skip=1)


@pytest.mark.parametrize(
    ("module", "owner", "name"), [(*owner, name) for owner, names in PROPERTIES.items() for name in names]
)
def test_the_property_exists(module, owner, name):
    assert isinstance(inspect.getattr_static(getattr(import_module(module), owner), name), property)


def test_one_object_per_name():
    """A name published in two modules is the same object."""
    homes: dict[str, set[int]] = {}
    for module, name, _ in FUNCTIONS:
        if name != "getmembers":
            homes.setdefault(name, set()).add(id(getattr(import_module(module), name)))
    assert [name for name, objects in homes.items() if len(objects) > 1] == []


def test_an_unknown_name_is_an_attribute_error():
    for module in NAMES:
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = import_module(module).no_such_name


@pytest.fixture(scope="module")
def model():
    networks = import_module("discern.estimators.utilities_wae")
    norms = ["conditionallayernorm"] * 2
    encoder = networks.create_encoder(3, [8, 6], norms, "mish", 10, 2, 0.1)
    decoder = networks.create_decoder(3, 10, [6, 8], norms, "mish", None, 2, 0.0)
    return networks.create_model(encoder, decoder, 100)


def test_inputs_and_outputs_of_the_model(model):
    assert model.name == "WAE"
    assert [one.name for one in model.inputs] == ["input_data", "batch_input_enc", "batch_input_dec"]
    outputs = {"decoder_counts", "decoder_dropouts", "mmdpp", "sigma_regularization"}
    assert set(model.output) == outputs


def test_inputs_and_outputs_of_encoder_and_decoder(model):
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    assert [one.name for one in encoder.inputs] == ["encoder_input", "encoder_labels"]
    assert [one.name for one in decoder.inputs] == ["decoder_input", "decoder_labels"]
    assert list(decoder.output_names) == ["decoder_counts", "decoder_dropouts"]
    assert all(isinstance(encoder.get_layer(name), keras.layers.Dense) for name in ("latent", "sigma_enc"))


def test_a_model_that_is_not_built():
    discern = import_module("discern").DISCERN()
    assert (discern.wae_model, discern.start_step) == (None, 0)
    for name in ("encoder", "decoder"):
        with pytest.raises(AttributeError, match="not built"):
            getattr(discern, name)


def test_a_model_without_encoder_and_decoder():
    discern = import_module("discern").DISCERN()
    cells = keras.Input((2,))
    discern.wae_model = keras.Model(cells, keras.layers.Dense(2)(cells))
    for name in ("encoder", "decoder"):
        with pytest.raises(ValueError, match=name):
            getattr(discern, name)


def test_an_absent_section_is_a_key_error():
    with pytest.raises(KeyError, match="training"):
        import_module("discern").DISCERN.from_json({"model": {}})
