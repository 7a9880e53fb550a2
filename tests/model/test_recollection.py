"""What followed a prompt is known again at that prompt, and further on along what followed."""

from __future__ import annotations

from model.recollection import Recollection


def test_what_followed_is_known_at_the_prompt_and_along_it() -> None:
    recollection = Recollection()
    recollection.keep((1, -7, 2), 0, (3, 4, 5))
    assert recollection.after((1, -7, 2), 0) == (3, 4, 5)
    assert recollection.after((1, -7, 2, 3), 0) == (4, 5)
    assert recollection.after((1, -7, 2, 9), 0) == ()
    assert recollection.after((1, -7), 1) == ()


def test_an_answer_withdrawn_earlier_does_not_shorten_what_is_known() -> None:
    recollection = Recollection()
    recollection.keep((1,), 0, (2, 3, 4))
    recollection.keep((1,), 0, (2,))
    recollection.keep((1,), 0, ())
    assert recollection.after((1,), 0) == (2, 3, 4)
    recollection.keep((1,), 0, (5,))
    assert recollection.after((1,), 0) == (5,)


def test_ranks_are_kept_apart_and_forgotten_together() -> None:
    recollection = Recollection()
    recollection.keep((1,), 0, (2,))
    recollection.keep((1,), 1, (3,))
    assert (recollection.after((1,), 0), recollection.after((1,), 1)) == ((2,), (3,))
    recollection.clear()
    assert recollection.after((1,), 0) == ()
