"""Metadata and dependencies of keras-spp; tool configuration lives in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Run the file instead of importing the package: TensorFlow is not installed at build time.
VERSION = runpy.run_path(str(ROOT / "keras_spp" / "version.py"))

INSTALL_REQUIRES = [
    *(name + bounds for name, bounds in VERSION["STACK"].items()),
    "keras" + VERSION["KERAS_3"],
    "ai-edge-litert>=2.3,<2.4",
    "click>=8.1,<9",
    "filelock>=3.20,<5",
    "flatbuffers>=25.9.23,<26",  # also what TensorFlow needs
    "h5py>=3.11,<3.15",  # what TensorFlow takes
    "lazy-loader>=0.4,<0.7",
    "numpy>=2.0,<3",
    "packaging>=24,<27",
    "rich>=13.7,<16",
    "scipy>=1.13,<2",  # 1.13 is the first built against NumPy 2
    "threadpoolctl>=3.5,<4",  # knows the names of the libraries in the wheels of NumPy and SciPy
    "wrapt>=1.15,<3",  # also what TensorFlow needs
]

DATASETS = [
    "tensorflow-datasets>=4.9.10,<4.10",
    "importlib-resources>=6,<8",  # it needs that to prepare data, and asks for it only below 3.9
]
VISION = ["keras-cv>=0.9,<0.10", "keras-hub>=0.32,<0.33"]
REPORT = ["matplotlib>=3.9,<4", "pandas>=2.2.2,<4"]
DOCS = [
    "ipykernel>=7.4,<8",  # the notebooks run in it
    "mkdocs>=1.6.1,<2",
    "mkdocs-jupyter>=0.26,<0.27",
    "mkdocs-material>=9.8,<10",
    "mkdocstrings[python]>=1.0,<2",
    "nbclient>=0.11,<0.12",
]
DEV = [
    *REPORT,
    "hypothesis>=6.100,<7",
    "import-linter>=2.7,<3",
    "jax>=0.10,<0.11",  # to test Keras 3 on
    "mypy>=2.4,<3",
    "pytest>=9.0,<10",
    "pytest-xdist>=3.6,<4",
    "ruff>=0.17.5,<0.18",  # formatting may change between minor versions
    "scikit-learn>=1.5,<2",
]

setup(
    name="keras-spp",
    version=VERSION["__version__"],
    description="Structured Probabilistic Pruning: smaller, faster Keras networks",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["keras_spp", "keras_spp.*"]),
    package_data={"keras_spp": ["py.typed", "*.pyi"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "datasets": DATASETS,
        "vision": VISION,
        "report": REPORT,
        "docs": DOCS,
        "dev": DEV,
        "all": [*DATASETS, *VISION, *DOCS, *DEV],
    },
    entry_points={"console_scripts": ["keras-spp = keras_spp.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
