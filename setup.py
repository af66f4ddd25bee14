"""Metadata and dependencies of keras-spp; tool configuration lives in pyproject.toml."""

import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Run the file instead of importing the package: TensorFlow is not installed at build time.
VERSION = runpy.run_path(str(ROOT / "keras_spp" / "version.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A package index shows the README without the files that it links to.
DESCRIPTION = re.sub(r"\[([^]]+)\]\((?!https?://)[^)]+\)", r"\1", README)

INSTALL_REQUIRES = [
    *(name + bounds for name, bounds in VERSION["STACK"].items()),
    *(
        f"{name}{bounds}; python_version >= '3.12'"
        for name, bounds in VERSION["SINCE_PYTHON_3_12"].items()
    ),
    "keras" + VERSION["KERAS_3"],
    "ai-edge-litert>=2.3,<2.4",  # runs files, and has the classes of their format
    "click>=8.1,<9",  # the command
    "filelock>=3.20,<5",  # several runs share the measurements of a device
    "flatbuffers>=24.3.25,<26",  # names and samples in files; also what TensorFlow needs
    "h5py>=3.11,<3.15",  # tells which Keras has saved a file; what TensorFlow takes
    "lazy-loader>=0.4,<0.7",  # nothing is imported before it is used
    "numpy>=2.0,<3",
    "packaging>=24,<27",  # compares versions
    "rich>=13.7,<16",  # reports
    "scipy>=1.13,<2",  # 1.13 is the first built against NumPy 2
    "threadpoolctl>=3.5,<4",  # knows the names of the libraries in the wheels of NumPy and SciPy
    "wrapt>=1.15,<3",  # calls back when a Keras is imported; also what TensorFlow needs
]

DATASETS = [
    "tensorflow-datasets>=4.9.10,<4.10",
    "importlib-resources>=6,<8",  # it needs that to prepare data, and asks for it only below 3.9
]
VISION = ["keras-cv>=0.9,<0.10", "keras-hub>=0.25,<0.33"]
REPORT = ["jinja2>=3.1.6,<4", "matplotlib>=3.9,<4", "pandas>=2.2.2,<4"]
DOCS = [
    "ipykernel>=7.3,<8",  # the notebooks run in it
    "mkdocs>=1.6.1,<2",
    "mkdocs-jupyter>=0.26,<0.27",
    "mkdocs-material>=9.7,<10",
    "mkdocstrings[python]>=1.0,<2",
    "pymdown-extensions<12; python_version < '3.11'",  # the mkdocstrings for 3.10 fails with 12
    "nbclient>=0.11,<0.12",
]
DEV = [
    *REPORT,
    "build>=1.2,<2",
    "hypothesis>=6.100,<7",
    "import-linter>=2.7,<3",
    "jax>=0.6,<0.11",  # to test Keras 3 on
    "mypy>=2.4,<3",
    "pytest>=9.0,<10",
    "pytest-xdist>=3.6,<4",
    "ruff>=0.17.5,<0.18",  # formatting may change between minor versions
    "scikit-learn>=1.5,<2",
    "twine>=6.1,<8",
]

setup(
    name="keras-spp",
    version=VERSION["__version__"],
    description="Structured Probabilistic Pruning: smaller, faster Keras networks",
    long_description=DESCRIPTION,
    long_description_content_type="text/markdown",
    author="keras-spp maintainers",
    keywords="keras tensorflow jax pytorch tflite pruning structured-pruning model-compression",
    project_urls={"Paper": "https://arxiv.org/abs/1709.06994"},
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["keras_spp", "keras_spp.*"]),
    package_data={"keras_spp": ["py.typed", "*.pyi", "reporting/templates/*"]},
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
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
