"""MMD++: how far the latent codes are from the prior, counting the spread of each cell's own draws.

The kernel is Σ over s of C/(C + distance²), C = 2 · n_latent · s, s ∈ {.1, .5, 1, 2, 10} (inverse multiquadratics).

Source:
    Tolstikhin et al. 2018, Wasserstein Auto-Encoders; Hausmann et al. 2023, Genome Biology 24:212.
"""

from typing import Any

import keras
from keras import ops

from discern.compiled_regions import in_one_pass
from discern.layers.replicas import whole_minibatch

N_DRAWS = 8
KERNEL_SCALES = (0.1, 0.5, 1.0, 2.0, 10.0)


def mmdpp_penalty(
    sample_qz: Any,
    sample_pz: Any,
    encoder_sigma: Any,
    total_number_cells: float,
    latent_dim: int,
    epsilon: Any = None,
    seed: int | keras.random.SeedGenerator | None = None,
) -> Any:
    """Return the MMD++ penalty, a scalar in float32.

    With p the prior draws and q̂ = mean + ε · exp(log_std) the 8 draws of each cell, it is the sum of: mean k(p, p)
    over different rows; −2 · mean k(p, q̂); mean k(q̂, q̂) over draws of different cells; and mean k over different
    draws of one cell, divided by ``total_number_cells``. A minibatch of one cell, which has no pairs of cells, is
    paired with itself.

    Args:
        sample_qz: Latent means, (n_cells, latent_dim).
        sample_pz: Draws from the prior, (n_cells, latent_dim).
        encoder_sigma: Natural log of the latent standard deviations, (n_cells, latent_dim).
        total_number_cells: Number of cells in the training data.
        latent_dim: Number of latent dimensions.
        epsilon: Standard normal draws, (8 · n_cells, latent_dim); row i · 8 + j belongs to cell i. None draws them.
        seed: Where they are drawn from; None is Keras' global generator.
    """
    mean, prior, log_std = (ops.cast(x, "float32") for x in (sample_qz, sample_pz, encoder_sigma))
    n_cells = ops.shape(mean)[0]
    if epsilon is None:
        epsilon = keras.random.normal((n_cells * N_DRAWS, latent_dim), dtype="float32", seed=seed)
    epsilon = ops.cast(epsilon, "float32")

    def penalty(mean: Any, log_std: Any) -> Any:
        return _penalty(mean, prior, log_std, epsilon, total_number_cells)

    return in_one_pass(penalty, mean, log_std)


def _penalty(mean: Any, prior: Any, log_std: Any, epsilon: Any, total_number_cells: float) -> Any:
    n_cells, latent_dim = ops.shape(mean)[0], epsilon.shape[-1]
    offsets = epsilon * ops.repeat(ops.exp(log_std), N_DRAWS, axis=0)
    draws = ops.repeat(mean, N_DRAWS, axis=0) + offsets

    # The offsets alone give the distances within a cell without the rounding that its mean would add.
    grouped = ops.reshape(offsets, (-1, N_DRAWS, latent_dim))
    within = _mean(_kernel(_squared_distances(grouped, grouped), latent_dim))
    at_zero = float(len(KERNEL_SCALES))  # the kernel of a point with itself
    others = ops.maximum(ops.cast(n_cells, "float32") - 1.0, 1.0)

    prior_prior = _without_own(_mean_kernel_within(prior, latent_dim), at_zero, others)
    prior_draws = _mean(_kernel(_squared_distances(prior, draws), latent_dim))
    between = _without_own(_mean_kernel_within(draws, latent_dim), within, others)
    same_cell = _without_own(within, at_zero, N_DRAWS - 1.0)
    return prior_prior - 2.0 * prior_draws + between + same_cell / total_number_cells


def _without_own(mean_of_all: Any, mean_of_own: Any, others: Any) -> Any:
    """Return the mean over pairs of different items from that over all pairs and that over pairs within an item."""
    return mean_of_all + (mean_of_all - mean_of_own) / others


def _mean(values: Any) -> Any:
    # Row means first: one sum over millions of values drifts by 1e-6 under XLA on a CPU.
    return ops.mean(ops.mean(values, axis=-1))


def _squared_distances(a: Any, b: Any) -> Any:
    """Return ‖aᵢ − bⱼ‖², (…, n, m), from (…, n, d) and (…, m, d); rounding below 0 is clipped."""
    norms_a = ops.sum(ops.square(a), axis=-1)[..., :, None]
    norms_b = ops.sum(ops.square(b), axis=-1)[..., None, :]
    return ops.maximum(norms_a + norms_b - 2.0 * ops.matmul(a, ops.swapaxes(b, -1, -2)), 0.0)


def _kernel(distances: Any, latent_dim: int) -> Any:
    return sum(c / (c + distances) for c in _widths(latent_dim))


def _kernel_derivative(distances: Any, latent_dim: int) -> Any:
    return sum(-c * ops.square(1.0 / (c + distances)) for c in _widths(latent_dim))


def _widths(latent_dim: int) -> tuple[float, ...]:
    return tuple(2.0 * latent_dim * scale for scale in KERNEL_SCALES)


def _mean_kernel_within(points: Any, latent_dim: int) -> Any:
    """Return the mean of k over all ordered pairs of rows of ``points``, (n, d), each row with itself included.

    The gradient uses that the matrix is symmetric and keeps only the distances: half the time and a fifth of the
    memory of differentiating the five kernels one by one.
    """

    @ops.custom_gradient
    def mean_kernel(points: Any) -> Any:
        distances = _squared_distances(points, points)
        n = ops.cast(ops.shape(points)[0], "float32")

        def gradient(*args: Any, upstream: Any = None) -> Any:
            slope = _kernel_derivative(distances, latent_dim)
            pull = ops.sum(slope, axis=-1, keepdims=True) * points - ops.matmul(slope, points)
            return (args[0] if upstream is None else upstream) * pull * (4.0 / ops.square(n))

        return _mean(_kernel(distances, latent_dim)), gradient

    return mean_kernel(points)


@keras.saving.register_keras_serializable(package="discern")
class MMDPP(keras.layers.Layer):
    """:func:`mmdpp_penalty` against a standard normal prior, as a layer with its own random stream, in float32.

    It draws in training and in validation alike. Several devices gather the cells of the whole minibatch, and each
    computes the same penalty from the same draws. The output is a scalar, so Keras' ``predict`` cannot return it.

    Args:
        scale: Number of cells in the training data.
        seed: Start of the random stream; None takes a random start.
        **kwargs: Arguments of every Keras layer.
    """

    def __init__(self, scale: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.scale = scale
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: list[Any]) -> Any:
        """Return the penalty, a scalar.

        Args:
            inputs: latent_mean and latent_log_std (natural log), (n_cells, n_latent) each.
        """
        latent_mean, latent_log_std = whole_minibatch(inputs)
        prior = keras.random.normal(ops.shape(latent_mean), dtype="float32", seed=self.seed_generator)
        return mmdpp_penalty(
            latent_mean, prior, latent_log_std, self.scale, latent_mean.shape[-1], seed=self.seed_generator
        )

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Return the shape of a scalar."""
        return ()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "scale": self.scale, "seed": self.seed}
