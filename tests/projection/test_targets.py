import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.projection.batch_labels import BatchLabels, own_labels
from discern.projection.targets import Target, check_target, file_names, target_labels

CODES = np.array([0, 0, 0, 1, 1, 2], np.int32)
OWN = BatchLabels(np.eye(3, dtype=np.float32), CODES)


@pytest.fixture
def obs():
    return pd.DataFrame(
        {
            "batch": pd.Categorical(["a/b", "a/b", "a/b", "y", "y", "z"]),
            "celltype": pd.Categorical(["T", "T", "B", "B", "B", "T"]),
            "tissue": ["lung", None, "liver", "lung", "lung", np.nan],
            "cluster": [1.0, 1.0, np.nan, 2.0, 2.0, 2.0],
            "number": [7, 7, 8, 8, 8, 8],
            "flag": [True, False, True, True, False, False],
            "donor": pd.Categorical([1.0, 1.0, 2.5, 2.5, 2.5, 2.5]),
            "score": [0.5, 1.0, 1.0, 2.0, 2.0, 2.0],
        }
    )


def test_without_target_every_cell_keeps_its_batch(obs):
    np.testing.assert_array_equal(target_labels(obs, OWN, Target())[:], np.eye(3)[CODES])


@pytest.mark.parametrize(
    ("column", "value", "cells"),
    [
        ("batch", "a/b", [0, 1, 2]),
        ("celltype", "T", [0, 1, 5]),
        ("tissue", "lung", [0, 3, 4]),
        ("cluster", "2", [3, 4, 5]),
        ("number", "7", [0, 1]),
        ("flag", "True", [0, 2, 3]),
        ("score", "2.0", [3, 4, 5]),
        ("score", "2", [3, 4, 5]),
        ("donor", "1", [0, 1]),
        ("donor", "1.0", [0, 1]),
    ],
)
def test_a_value_gives_every_cell_the_average_of_its_cells(obs, column, value, cells):
    expected = np.tile(np.bincount(CODES[cells], minlength=3) / len(cells), (6, 1))
    labels = target_labels(obs, OWN, Target(column, value))[:]
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, expected, rtol=1e-6)


@pytest.mark.parametrize("target", [Target("batch", "y"), Target("batch")])
def test_one_average_for_all_cells_takes_the_memory_of_one(obs, target):
    labels = target_labels(obs, OWN, target)
    assert (labels.rows.shape, labels.rows.dtype) == ((1, 3), np.float32)
    assert (labels.codes.shape, labels.codes.strides) == ((6,), (0,))


def test_averages_of_groups_take_the_memory_of_the_groups(obs):
    labels = target_labels(obs, OWN, Target("celltype"))
    assert (labels.rows.shape, labels.rows.dtype, labels.codes.dtype) == ((2, 3), np.float32, np.int32)


def test_groups_of_floats_are_told_apart(obs):
    expected = [[1, 0, 0]] * 2 + [[0.25, 0.5, 0.25]] * 4
    np.testing.assert_allclose(target_labels(obs, OWN, Target("donor"))[:], expected, rtol=1e-6)


def test_the_batch_column_alone_gives_the_average_of_all(obs):
    np.testing.assert_allclose(target_labels(obs, OWN, Target("batch"))[:], np.tile([3 / 6, 2 / 6, 1 / 6], (6, 1)))


def test_another_column_alone_gives_the_average_of_each_group(obs):
    of_t, of_b = [2 / 3, 0, 1 / 3], [1 / 3, 2 / 3, 0]
    expected = [of_t, of_t, of_b, of_b, of_b, of_t]
    np.testing.assert_allclose(target_labels(obs, OWN, Target("celltype"))[:], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "target", [Target("batch", "y"), Target("batch"), Target("celltype"), Target("tissue", "lung")]
)
def test_labels_of_every_cell_sum_to_one(obs, target):
    np.testing.assert_allclose(target_labels(obs, OWN, target)[:].sum(axis=1), 1, rtol=1e-6)


def test_averages_weigh_cells_that_are_mixtures_themselves(obs):
    own = BatchLabels(np.array([[0.5, 0.5, 0], [0, 0, 1]], np.float32), np.array([0, 0, 0, 0, 1, 1], np.int32))
    np.testing.assert_allclose(target_labels(obs, own, Target("batch", "y"))[:], np.tile([0.25, 0.25, 0.5], (6, 1)))
    of_t, of_b = [1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]
    np.testing.assert_allclose(
        target_labels(obs, own, Target("celltype"))[:], [of_t, of_t, of_b, of_b, of_b, of_t], rtol=1e-6
    )


def test_an_absent_column_is_refused(obs):
    with pytest.raises(DataError, match="Column 'organ' is missing from obs. Found: batch, celltype"):
        check_target(obs, Target("organ", "x"))


@pytest.mark.parametrize(
    ("column", "value"), [("celltype", "NK"), ("tissue", "nan"), ("tissue", "None"), ("cluster", "3")]
)
def test_a_value_that_does_not_occur_is_refused(obs, column, value):
    with pytest.raises(DataError, match=f"'{value}' does not occur in obs\\['{column}'\\]. Found: "):
        target_labels(obs, OWN, Target(column, value))


def test_a_category_without_cells_does_not_occur(obs):
    obs["celltype"] = obs["celltype"].cat.add_categories("NK")
    with pytest.raises(DataError, match="'NK' does not occur"):
        target_labels(obs, OWN, Target("celltype", "NK"))


@pytest.mark.parametrize(("column", "missing"), [("tissue", 2), ("cluster", 1)])
def test_cells_without_value_have_no_group(obs, column, missing):
    with pytest.raises(DataError, match=f"{missing} of 6 cells have no value in obs\\['{column}'\\]"):
        target_labels(obs, OWN, Target(column))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch:b1", Target("batch", "b1")),
        ("celltype:", Target("celltype")),
        ("time:12:30", Target("time", "12:30")),
        ("batch:a b", Target("batch", "a b")),
    ],
)
def test_targets_are_read_from_text(text, expected):
    assert Target.parse(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (0, "0"),
        (np.int64(0), "0"),
        (0.0, "0"),
        (np.float32(1.0), "1"),
        (1.5, "1.5"),
        (False, "False"),
        ("b1", "b1"),
    ],
)
def test_a_value_of_any_type_makes_a_target(value, expected):
    assert Target.of("cluster", value) == Target("cluster", expected)


@pytest.mark.parametrize("text", ["batch", "", ":b1", ":"])
def test_other_text_is_refused(text):
    with pytest.raises(DataError, match="COLUMN:VALUE"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(), "unprojected.h5ad"),
        (Target("batch"), "projected_to_average_batch.h5ad"),
        (Target("batch", "b1"), "projected_to_average_batch_b1.h5ad"),
        (Target("celltype", "CD4+ T (naive)"), "projected_to_average_celltype_CD4+_T_(naive).h5ad"),
        (Target("batch", "a/b"), "projected_to_average_batch_a%2Fb.h5ad"),
        (Target("batch", "../../x"), "projected_to_average_batch_..%2F..%2Fx.h5ad"),
        (Target("batch", "a\\b:c*?"), "projected_to_average_batch_a%5Cb%3Ac%2A%3F.h5ad"),
    ],
)
def test_file_names_are_the_published_ones_and_stay_in_the_folder(target, expected, tmp_path):
    assert target.file_name == expected
    assert (tmp_path / target.file_name).resolve().parent == tmp_path


def names_of(targets, obs, batches=()):
    """The file names, of each target the same whether it is asked for alone or with the others."""
    together = file_names(targets, obs, batches)
    assert together == [name for target in targets for name in file_names([target], obs, batches)]
    assert len(set(together)) == len(targets)
    return together


def test_values_that_differ_in_spaces_have_files_of_their_own():
    obs = pd.DataFrame({"batch": ["a b", "a_b", "a  b", "c d"], "type": ["a b", "NK", "c_d", "NK"]})
    targets = [Target("batch", "a b"), Target("batch", "a_b"), Target("batch", "c d"), Target("type", "a b")]
    spaced, *others = names_of(targets, obs)
    assert others == [target.file_name for target in targets[1:]]
    assert others[1] == "projected_to_average_batch_c_d.h5ad"  # what nothing else could mean has the published name
    assert len(spaced.removeprefix("projected_to_average_batch_a_b-").removesuffix(".h5ad")) == 8
    assert names_of([Target("batch", "c d"), Target("batch", "c_d")], obs, ("c d", "c_d")) == [
        Target("batch", "c d").own_file_name,
        "projected_to_average_batch_c_d.h5ad",
    ]


def test_columns_and_values_that_join_alike_have_files_of_their_own():
    obs = pd.DataFrame({"cell": ["type_T", "x"], "cell_type": ["T", "B"], "cell type": ["T", "T"], "cell_type_B": "y"})
    targets = [
        Target("cell", "type_T"),
        Target("cell_type", "T"),
        Target("cell type", "T"),
        Target("cell_type", "B"),
        Target("cell_type_B"),
    ]
    names = names_of(targets, obs)
    published = [target.file_name for target in targets]
    assert len(set(published)) == 2
    assert [name for name in names if name in published] == [published[0], published[3]]
    alone = obs.drop(columns="cell")
    assert names_of(targets[1:2], alone) == ["projected_to_average_cell_type_T.h5ad"]


def test_long_values_that_differ_in_spaces_have_files_of_their_own():
    values = ["a b" * 200, "a_b" * 200]
    obs = pd.DataFrame({"batch": values})
    assert max(map(len, names_of([Target("batch", value) for value in values], obs))) < 240


def test_cells_are_decoded_into_a_batch_of_the_model_that_has_no_cell_here(data, family):
    own = own_labels(data, family.data.batches)
    labels = target_labels(data.obs, own, Target("batch", "third"), family.data.batches)
    np.testing.assert_array_equal(labels[:], np.tile(np.float32([0, 1, 0]), (data.n_obs, 1)))
    with pytest.raises(DataError, match=r"'unheard' does not occur in obs\['batch'\]. Found: high/2, low, third"):
        target_labels(data.obs, own, Target("batch", "unheard"), family.data.batches)
    here = target_labels(data.obs, own, Target("batch", "low"), family.data.batches)
    np.testing.assert_array_equal(here[:], target_labels(data.obs, own, Target("batch", "low"))[:])
