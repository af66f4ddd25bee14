"""The command `python -m benchmarks.accuracy`, which `benchmarks.accuracy.runs` describes."""

from benchmarks.accuracy.runs import main

if __name__ == "__main__":
    main()
