"""What the pages in docs/ claim in numbers, measured."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # KerasCV makes models of tf_keras then
