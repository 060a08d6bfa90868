"""TensorFlow writes notes about missing GPUs straight to stderr while it starts; a user needs none of them."""

import os
import sys
import tempfile


def import_tensorflow(verbosity: int) -> None:
    """Import TensorFlow and look for its devices, holding back what it writes unless that fails.

    Args:
        verbosity: Above 0 nothing is held back.
    """
    if verbosity > 0:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
