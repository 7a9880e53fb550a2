"""What followed a prompt is known again at that prompt, and further on along what followed."""

from __future__ import annotations

from model.recollection import Recollection


def test_what_followed_is_known_at_the_prompt_and_along_it() -> None:
    recollection = Recollection()
    recollection.keep((1, -7, 2), (3, 4, 5))
    assert recollection.after((1, -7, 2)) == (3, 4, 5)
    assert recollection.after((1, -7, 2, 3)) == (4, 5)
    assert recollection.after((1, -7, 2, 9)) == ()
    assert recollection.after((1, -8)) == ()


def test_an_answer_withdrawn_earlier_does_not_shorten_what_is_known() -> None:
    recollection = Recollection()
    recollection.keep((1,), (2, 3, 4))
    recollection.keep((1,), (2,))
    recollection.keep((1,), ())
    assert recollection.after((1,)) == (2, 3, 4)
    recollection.keep((1,), (5,))
    assert recollection.after((1,)) == (5,)


def test_another_prompt_takes_the_place_of_the_last_and_all_is_forgotten() -> None:
    recollection = Recollection()
    recollection.keep((1,), (2,))
    recollection.keep((3,), (4,))
    assert (recollection.after((1,)), recollection.after((3,))) == ((), (4,))
    recollection.clear()
    assert recollection.after((3,)) == ()
