"""Window geometry against a brute force over padded index images."""

import random

import pytest

from nn2rtl.primitives.geometry import WindowGeometry


def random_geometry(rng, **fixed):
    """A geometry that the constructor accepts."""
    while True:
        blocks = rng.randint(1, 3)
        values = {
            "height": rng.randint(1, 7),
            "width": rng.randint(1, 7),
            "words": blocks * rng.randint(1, 3),
            "kernel": (rng.randint(1, 4), rng.randint(1, 4)),
            "stride": (rng.randint(1, 4), rng.randint(1, 4)),
            "pads": tuple(rng.choice([0, 0, 1, 1, 2, 3]) for _ in range(4)),
            "dilation": (rng.choice([1, 1, 1, 2]), rng.choice([1, 1, 1, 2])),
            "outer": rng.randint(1, 3),
            "blocks": blocks,
        }
        try:
            return WindowGeometry(**{**values, **fixed})
        except ValueError:
            pass


GEOMETRIES = [random_geometry(random.Random(seed)) for seed in range(300)]


def brute_windows(g):
    """Per window: list of groups, each a list of word indices or None."""
    ekh = (g.kernel[0] - 1) * g.dilation[0] + 1
    ekw = (g.kernel[1] - 1) * g.dilation[1] + 1
    top, left, bottom, right = g.pads
    padded = [[None] * (g.width + left + right) for _ in range(g.height + top + bottom)]
    for y in range(g.height):
        for x in range(g.width):
            padded[top + y][left + x] = (y * g.width + x) * g.words
    for y0 in range(0, len(padded) - ekh + 1, g.stride[0]):
        for x0 in range(0, len(padded[0]) - ekw + 1, g.stride[1]):
            taps = [
                padded[y][x]
                for y in range(y0, y0 + ekh, g.dilation[0])
                for x in range(x0, x0 + ekw, g.dilation[1])
            ]
            words = [[None if t is None else t + w for t in taps] for w in range(g.words)]
            size = g.words // g.blocks
            yield [
                [words[b * size + w][t] for t in range(len(taps)) for w in range(size)]
                for b in range(g.blocks) for _ in range(g.outer)
            ]


def deadlocks(g, capacity, images=3):
    """Run reader and writer to the end or until both are stuck."""
    reads = [
        None if r is None else r + n * g.image_words for n in range(images) for r in g.reads()
    ]
    freed = [*g.freed(images)]
    written = step = 0
    while step < len(reads):
        if reads[step] is None or reads[step] < written:
            step += 1
        elif written < freed[step // g.release_steps] + capacity:
            written += 1
        else:
            return True
    # Words behind the last window: the next image's first window must let them in.
    following = [*g.freed(images + 1)][len(freed)]
    return images * g.image_words > following + capacity


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_against_brute_force(g):
    windows = [*brute_windows(g)]
    assert g.positions == g.out_height * g.out_width == len(windows)
    assert [r for window in windows for group in window for r in group] == [*g.reads()]
    assert g.steps == len([*g.reads()]) == len([*g.flags()])
    flags = [
        (k == 0, k == len(group) - 1)
        for window in windows for group in window for k in range(len(group))
    ]
    assert [*g.flags()] == flags
    assert g.outputs == sum(last for _, last in flags)


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_loops_give_the_reads(g):
    virtual = [g.first_base]
    for _, extent, stride in g.loops:
        virtual = [v + k * stride for v in virtual for k in range(extent)]
    assert all(r is None or r == v for r, v in zip(g.reads(), virtual, strict=True))
    assert [*g.bases()] == virtual[:: g.window_steps]


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_nothing_freed_is_read(g):
    reads = [r if r is None else r + n * g.image_words for n in range(3) for r in g.reads()]
    freed = [*g.freed(3)]
    assert freed == sorted(freed)
    for step, r in enumerate(reads):
        assert r is None or r >= freed[step // g.release_steps]
    tops = [*g.bases()] + [b + g.image_words for b in g.bases()]
    if g.release_steps > 1:
        assert g.regression == max(f - b for f, b in zip(freed, tops, strict=False))


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_minimum_capacity(g):
    assert not deadlocks(g, g.minimum_capacity)
    assert g.minimum_capacity == 1 or deadlocks(g, g.minimum_capacity - 1)


@pytest.mark.parametrize("g", GEOMETRIES, ids=str)
def test_distances(g):
    """The writer as slow as possible reaches exactly the stated distances."""
    written = read = freed_ahead = 0
    freed = [*g.freed(3)]
    for step, r in enumerate(r if r is None else r + n * g.image_words
                             for n in range(3) for r in g.reads()):
        freed_ahead = max(freed_ahead, freed[step // g.release_steps] - written)
        if r is not None:
            read = max(read, r - written)
            written = max(written, r + 1)
    assert (g.furthest_read, g.furthest_freed) == (read, freed_ahead)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 0}, "positive"),
        ({"words": 0}, "positive"),
        ({"pads": (0, -1, 0, 0)}, "positive"),
        ({"blocks": 4}, "divide"),
        ({"kernel": (5, 1)}, "fit"),
        ({"kernel": (2, 2), "pads": (2, 0, 0, 0)}, "padding"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        WindowGeometry(**{"height": 4, "width": 4, "words": 2, **change})
