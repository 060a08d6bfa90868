"""Capabilities are asked for, never assumed."""

import keras
import numpy as np
import pytest

from discern.errors import DiscernError
from discern.io.transform import InputTransform
from discern.models.contract import DataDescription, Encodes, Latent, ModelFamily, Reconstructs, require
from discern.models.termwise import TermwiseModel
from discern.models.wae.config import WAEConfig
from discern.scaling import GeneScaling


class OnlyEncodes(ModelFamily):
    name = "only-encodes"
    output_space = "none"

    def build(self, seed):
        cells = keras.Input((3,))
        return TermwiseModel(cells, cells)

    def transform(self):
        return self.data.transform

    def model_input(self, minibatch):
        return minibatch, None

    def compile(self, optimizer, jit_compile, reconstruction_weight=None):
        pass

    def encode(self, expression, source_batch):
        return Latent(expression)


@pytest.fixture
def family():
    return OnlyEncodes(WAEConfig(), DataDescription(3, ("a", "b"), 5, InputTransform()))


def test_what_a_family_can_do_is_returned(family):
    assert require(family, Encodes, "encode cells") is family


def test_what_it_cannot_do_is_a_clear_error(family):
    with pytest.raises(DiscernError, match="family 'only-encodes' cannot project cells"):
        require(family, Reconstructs, "project cells")


def test_a_family_without_batch_axes_has_none(family):
    assert family.variables_with_batch_axis() == ()
    assert family.data.n_batches == 2


def test_an_incomplete_family_cannot_be_made():
    class Incomplete(ModelFamily):
        name = "incomplete"

    with pytest.raises(TypeError, match="abstract"):
        Incomplete(WAEConfig(), DataDescription(3, ("a",), 5, InputTransform()))


@pytest.mark.parametrize(
    "other",
    [
        DataDescription(3, ("b", "a"), 5, InputTransform()),
        DataDescription(3, ("a", "b"), 6, InputTransform()),
        DataDescription(3, ("a", "b"), 5, InputTransform(library_size=100.0)),
        DataDescription(3, ("a", "b"), 5, InputTransform(scaling=GeneScaling(np.ones(3, "f4"), np.ones(3, "f4")))),
        DataDescription(4, ("a", "b"), 5, InputTransform()),
    ],
)
def test_other_data_are_told_apart(family, other):
    assert family.data.same_data(DataDescription(3, ("a", "b"), 5, InputTransform()))
    assert not family.data.same_data(other)


def test_gene_names_are_told_apart_where_both_are_known():
    known, other, unknown = (DataDescription(3, ("a",), 5, InputTransform(), digest) for digest in ("x", "y", ""))
    assert known.same_data(known)
    assert not known.same_data(other)
    assert known.same_data(unknown)
    assert unknown.same_data(known)
