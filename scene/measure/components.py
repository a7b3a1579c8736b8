# SPDX-License-Identifier: GPL-3.0-or-later
"""Connected components of large graphs, with numpy and without a loop over the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.intp]


def connected_components(nodes: int, a: Ints, b: Ints) -> tuple[int, Ints]:
    """Return how many components a graph has, and in which one each node is, from 0: (nodes,).

    The graph has `nodes` nodes, numbered from 0, and an edge from each of `a` to that of `b`.

    A vectorised variant of Shiloach and Vishkin ("An O(log n) parallel connectivity algorithm",
    Journal of Algorithms 3, 1982). A round hooks every node onto a neighbour of a smaller number,
    if it has one, finds the roots of the trees so made by pointer jumping, and goes on with the
    roots as nodes. The first round takes the numbers as they are, which usually leaves next to
    nothing; later rounds shuffle them, so that whatever the graph, every second node that still
    has an edge is expected to go.
    """
    random = np.random.default_rng(0)
    rounds = []
    while True:
        parents = np.arange(nodes)
        # Where a node is named several times any of its neighbours will do.
        parents[np.maximum(a, b)] = np.minimum(a, b)
        while True:
            grandparents = parents.take(parents)
            if np.array_equal(grandparents, parents):
                break
            parents = grandparents
        a, b = parents.take(a), parents.take(b)
        kept = a != b
        done = not kept.any()
        roots = np.flatnonzero(parents == np.arange(nodes))
        numbers = np.empty(nodes, np.intp)
        nodes = len(roots)
        numbers[roots] = np.arange(nodes) if done else random.permutation(nodes)
        rounds.append(numbers.take(parents))
        if done:
            break
        a, b = numbers.take(a[kept]), numbers.take(b[kept])
    # Each round says where its nodes went. From the last one back, the arrays stay short for long.
    labels = rounds.pop()
    while rounds:
        labels = labels.take(rounds.pop())
    return nodes, labels
