import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fef.measure.labels import overlap, place_labels

FRAME = (0.0, 0.0, 450.0, 400.0)
points = st.tuples(st.floats(20, 430), st.floats(20, 380))
sizes = st.tuples(st.floats(15, 130), st.just(9.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(points, sizes), min_size=1, max_size=30))
def test_no_label_covers_another_or_a_marker(found):
    anchors, wanted = [a for a, _ in found], [s for _, s in found]
    boxes = place_labels(anchors, wanted, FRAME, 5.0)
    area = overlap(np.array(boxes), np.array(boxes))
    assert (area - np.diag(np.diag(area))).max() < 1e-6
    markers = np.array([(x - 5, y - 5, x + 5, y + 5) for x, y in anchors])
    assert overlap(np.array(boxes), markers).max() < 1e-6
    for (left, bottom, right, top), (width, height) in zip(boxes, wanted, strict=True):
        assert abs(right - left - width) < 1e-9 and abs(top - bottom - height) < 1e-9
        assert left >= -1e-9 and bottom >= -1e-9 and right <= 450 + 1e-9 and top <= 400 + 1e-9


def test_a_lone_label_is_beside_its_point_and_moves_off_a_bar():
    ((left, bottom, _, top),) = place_labels([(100, 100)], [(50, 10)], FRAME, 4.0)
    assert left > 104 and bottom < 100 < top
    ((moved, *_),) = place_labels([(100, 100)], [(50, 10)], FRAME, 4.0, [(130, 0, 131, 400)])
    assert moved + 50 <= 130 or moved >= 131


def test_overlap_of_boxes():
    assert overlap(np.array([(0, 0, 2, 2)]), np.array([(1, 1, 3, 3), (2, 0, 3, 1), (-1, -1, 5, 1)])).tolist() == [
        [1, 0, 2]
    ]
