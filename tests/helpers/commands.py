"""How a command ends: with its output, or with one sentence."""


def succeeds(result):
    assert result.exception is None and result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def fails(result, *parts):
    """Checks that a command ended in one sentence, and nothing else, on stderr."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.endswith(".\n")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
