import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_spp.core.windows import Window

sizes = st.integers(1, 9)


@given(sizes, st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_same_padding_gives_one_output_for_each_stride_and_is_even(size, kernel, stride, dilation):
    outputs = -(-size // stride)
    window = Window([kernel], [stride], [dilation], "same")
    reached = window.inputs([size], [outputs], np.arange(outputs))
    assert reached.shape == (outputs, kernel)
    starts = [row[row >= 0] for row in reached]
    for number, row in enumerate(starts):
        assert (np.diff(row) == dilation).all()
        if len(row) == kernel and number and len(starts[number - 1]) == kernel:
            assert row[0] - starts[number - 1][0] == stride


@given(sizes, sizes, st.integers(1, 3), st.integers(1, 3))
def test_two_axes_are_the_pairs_of_each(height, width, kernel, stride):
    outputs = [-(-height // stride), -(-width // stride)]
    window = Window([kernel, 2], [stride, stride], [1, 1], "same")
    rows, columns = (
        Window([k], [stride], [1], "same").inputs([size], [count], np.arange(count))
        for k, size, count in ((kernel, height, outputs[0]), (2, width, outputs[1]))
    )
    reached = window.inputs([height, width], outputs, np.arange(np.prod(outputs)))
    for (i, j), positions in zip(itertools.product(*map(range, outputs)), reached, strict=True):
        pairs = itertools.product(rows[i], columns[j])
        assert [-1 if min(r, c) < 0 else r * width + c for r, c in pairs] == positions.tolist()


@given(sizes, st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_a_transposed_window_is_the_reverse_of_the_ordinary_one(
    size, kernel, stride, dilation, same
):
    padding = "same" if same else "valid"
    outputs = size * stride if same else (size - 1) * stride + dilation * (kernel - 1) + 1
    spread = Window([kernel], [stride], [dilation], padding, transposed=True)
    there = spread.inputs([size], [outputs], np.arange(outputs))
    back = Window([kernel], [stride], [dilation], padding).inputs(
        [outputs], [size], np.arange(size)
    )
    met = {(o, i, k) for o, row in enumerate(there) for k, i in enumerate(row) if i >= 0}
    assert met == {(o, i, k) for i, row in enumerate(back) for k, o in enumerate(row) if o >= 0}


def test_causal_windows_end_at_their_position():
    window = Window([2], [1], [2], "causal")
    assert window.inputs([4], [4], np.arange(4)).tolist() == [[-1, 0], [-1, 1], [0, 2], [1, 3]]
