"""What DISCERN minimises: reconstruction, dropout cross entropy, sigma and MMD++."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from discern.keys import MEASURED
from discern.layers.replicas import whole_minibatch
from discern.losses.lnorm import Lnorm
from discern.losses.masked_cross_entropy import MaskedCrossEntropy
from discern.losses.reconstruction import reconstruction_loss
from discern.models.wae.config import WAEConfig
from discern.models.wae.networks import COUNTS, DROPOUTS, MMD, SIGMA


class WAEObjective:
    """The four terms of the loss; the weights are those of the configuration.

    Genes that were not measured in a cell take no part: target and prediction are both 0 there, which every
    reconstruction loss of the registry takes for a perfect estimate, and no gradient reaches the prediction. Means are
    still over all genes, so each measured gene weighs as much as in cells in which all were.
    """

    def __init__(self, config: WAEConfig, zeros: np.ndarray, reconstruction_weight: float | None = None):
        """Prepare the losses.

        Args:
            config: The model section.
            zeros: The transformed value of a zero count, (n_genes,).
            reconstruction_weight: In place of the configured weight.
        """
        self._reconstruction = reconstruction_loss(config.reconstruction_loss)
        self._dropouts = MaskedCrossEntropy(
            zeros=zeros,
            label_smoothing=config.crossentropy.label_smoothing,
            lower_label_smoothing=config.crossentropy.lower_label_smoothing,
        )
        # it sums over cells before it takes a root: several devices gather them
        self._needs_all_cells = isinstance(self._reconstruction, Lnorm) and self._reconstruction.axis in {0, -2}
        weight = config.reconstruction_weight if reconstruction_weight is None else reconstruction_weight
        self.weights: Mapping[str, float] = {
            COUNTS: weight,
            DROPOUTS: config.weighting_decoder_dropout,
            MMD: config.wae_lambda,
            SIGMA: config.weighting_random_encoder,
        }

    def terms(self, inputs: Any, targets: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the unweighted terms of one minibatch, (n_cells,) each (reconstruction: as the loss defines).

        Args:
            inputs: Of the model.
            targets: By the names of the outputs; and ``measured``, 1 or 0, (n_cells, n_genes), where some genes were not.
            outputs: Of the model.
        """
        expression: Sequence[Any] = (targets[COUNTS], outputs[COUNTS])
        measured = targets.get(MEASURED)
        if measured is not None:
            expression = [ops.where(measured > 0, values, 0.0) for values in expression]
        if self._needs_all_cells:
            expression = whole_minibatch(expression)
        return {
            COUNTS: self._reconstruction.call(*expression),
            DROPOUTS: self._dropouts.call(targets[DROPOUTS], outputs[DROPOUTS], measured),
            MMD: outputs[MMD],
            SIGMA: outputs[SIGMA],
        }
