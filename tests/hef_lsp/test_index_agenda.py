"""Which change is ready when, and which step comes first."""

from __future__ import annotations

from hef_lsp.change_queue import LONGEST_WAIT_S, ChangeQueue
from hef_lsp.index_agenda import Agenda, Step
from indexer.source_files import FileChange

A, B = FileChange("a.py"), FileChange("b.py")


def test_changes_are_ready_after_quiet_and_the_newest_of_a_path_counts() -> None:
    queue = ChangeQueue(quiet_s=0.3)
    queue.put([A, B], now_s=0.0)
    queue.put([FileChange("a.py", present=False)], now_s=0.2)
    assert queue.take(0.29, 9) == []
    assert queue.take(0.3, 9) == [B]
    assert queue.next_due_s() == 0.5
    assert queue.take(0.5, 9) == [FileChange("a.py", present=False)]
    assert queue.next_due_s() is None and len(queue) == 0


def test_no_more_is_taken_than_wanted_and_the_rest_stays_ready() -> None:
    queue = ChangeQueue(quiet_s=0.0)
    queue.put([FileChange(f"{number}.py") for number in range(5)], now_s=0.0)
    assert [change.path for change in queue.take(0.0, 3)] == ["0.py", "1.py", "2.py"]
    assert [change.path for change in queue.take(0.0, 3)] == ["3.py", "4.py"]


def test_a_file_that_never_rests_is_looked_at_nevertheless() -> None:
    queue, now_s = ChangeQueue(quiet_s=0.3), 0.0
    while not queue.take(now_s, 9):
        queue.put([A], now_s)
        now_s += 0.1
        assert now_s < LONGEST_WAIT_S + 0.3


def test_put_back_is_ready_at_once_but_gives_way_to_a_newer_change() -> None:
    queue = ChangeQueue(quiet_s=0.3)
    newer = FileChange("a.py", text="new")
    queue.put([newer], now_s=1.0)
    queue.put_back([A, B], now_s=1.0)
    assert queue.take(1.0, 9) == [B]
    assert queue.take(1.3, 9) == [newer]


def agenda(**wishes: bool) -> Agenda:
    return Agenda(ChangeQueue(quiet_s=0.0), **wishes)


def test_a_writer_that_sleeps_is_woken_by_the_first_key_alone_and_by_what_may_work_again() -> None:
    agenda = Agenda(ChangeQueue(quiet_s=0.5))
    assert agenda.add([A], 0.0)
    assert not agenda.add([A], 0.25)  # due later than what it sleeps for
    assert not agenda.add([B], 0.25)
    assert agenda.next_due_s(0.0) == 0.75
    agenda.fail(Step.UPDATE, agenda.queue.take(0.75, 1))
    assert agenda.add([B], 0.75)
    assert agenda.queue.take(0.75, 9) == [A]
    assert agenda.queue.take(1.25, 9) == [B]


def test_errands_then_opening_then_changes_then_scan_then_fusing() -> None:
    todo = agenda(open_wanted=True, scan_wanted=True, fuse_wanted=True)
    todo.queue.put([A], 0.0)
    todo.errands.append(lambda: None)
    order = []
    while (step := todo.wanted(has_index=True, now_s=1.0)) is not None:
        order.append(step)
        if step is Step.ERRAND:
            todo.errands.popleft()
        todo.open_wanted &= step is not Step.OPEN
        todo.scan_wanted &= step is not Step.SCAN
        todo.fuse_wanted &= step is not Step.FUSE
        if step is Step.UPDATE:
            todo.queue.take(1.0, 9)
    assert order == [Step.ERRAND, Step.OPEN, Step.UPDATE, Step.SCAN, Step.FUSE]
    assert todo.is_idle(has_index=True)


def test_paused_only_errands_run_and_without_an_index_only_opening() -> None:
    todo = agenda(paused=True, open_wanted=True, scan_wanted=True)
    assert todo.wanted(has_index=True, now_s=0.0) is None
    todo.paused = todo.open_wanted = False
    assert todo.wanted(has_index=False, now_s=0.0) is None
    assert not todo.is_idle(has_index=False)


def test_fusing_waits_until_nobody_types_and_the_writer_knows_when() -> None:
    todo = agenda(fuse_wanted=True)
    assert todo.wanted(True, now_s=5.0, fuse_due_s=6.0) is None
    assert todo.next_due_s(fuse_due_s=6.0) == 6.0
    assert not todo.is_idle(True)
    assert todo.wanted(True, now_s=6.0, fuse_due_s=6.0) is Step.FUSE
    todo.queue.put([A], 5.5)
    assert todo.next_due_s(fuse_due_s=6.0) == 5.5
    todo.paused = True
    assert todo.next_due_s(fuse_due_s=6.0) is None
    assert agenda().next_due_s(fuse_due_s=6.0) is None


def test_a_failed_step_is_wanted_again_only_after_something_new() -> None:
    for step in (Step.SCAN, Step.FUSE):
        todo = agenda(scan_wanted=step is Step.SCAN, fuse_wanted=step is Step.FUSE)
        todo.fail(step)
        assert todo.wanted(True, 0.0) is None and todo.is_idle(True)
        todo.try_again(0.0)
        assert todo.wanted(True, 0.0) is step


def test_changes_that_failed_come_back_with_the_next_one() -> None:
    todo = agenda()
    todo.fail(Step.UPDATE, [A])
    assert todo.is_idle(True)
    todo.try_again(5.0)
    assert todo.queue.take(5.0, 9) == [A]


def test_when_opening_failed_nothing_is_left_to_do_until_something_new() -> None:
    todo = agenda()
    todo.queue.put([A], 0.0)
    todo.fail(Step.OPEN)
    assert todo.is_idle(has_index=False)
    todo.try_again(0.0)
    assert todo.wanted(has_index=False, now_s=0.0) is Step.OPEN


def test_a_slice_ends_for_close_pause_reopening_errands_and_changes_if_it_may() -> None:
    todo = agenda()
    todo.queue.put([A], 0.0)
    assert todo.interrupts(0.0, by_changes=True)
    assert not todo.interrupts(0.0, by_changes=False)
    for wish in ("closed", "paused", "open_wanted"):
        assert agenda(**{wish: True}).interrupts(0.0, by_changes=False)
