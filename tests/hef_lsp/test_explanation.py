"""The clock of the stages, the log of explanations, and the guard that says each failure once."""

from __future__ import annotations

import logging

import pytest

from hef_lsp.explanation import MOST_DOCUMENTS, Explanation, ExplanationLog, StageClock
from hef_lsp.stage_guard import StageGuard


def test_the_clock_adds_up_stages_and_counts_the_queue_in_the_total() -> None:
    clock = StageClock()
    clock.add("queue", 100.0)
    clock.add("decode", 2.0)
    clock.add("decode", 3.0)
    with pytest.raises(ZeroDivisionError), clock.stage("prompt"):
        _ = 1 / 0
    timings = clock.timings()
    assert (timings.queue_ms, timings.decode_ms, timings.prefill_ms) == (100.0, 5.0, 0.0)
    assert timings.prompt_ms > 0, "a stage that raised took its time too"
    assert timings.total_ms > 100.0


def test_the_log_keeps_the_last_documents_only() -> None:
    log = ExplanationLog()
    assert log.last() is None
    for number in range(MOST_DOCUMENTS + 1):
        log.add(Explanation(f"u{number}", "a.py", number, "none"))
    last = log.last()
    assert last is not None and last.line == MOST_DOCUMENTS
    assert log.last("u0") is None
    assert log.last("u1") is not None
    log.forget("u1")
    assert log.last("u1") is None


def _raise(error: Exception) -> None:
    raise error


def test_each_cause_is_said_once_and_never_quotes_text(caplog: pytest.LogCaptureFixture) -> None:
    guard = StageGuard()
    with caplog.at_level(logging.INFO):
        for text in ("def secret():", "class Hidden:"):
            assert guard.attempt("the projector", lambda text=text: _raise(ValueError(text))) is None
        assert guard.attempt("retrieval", lambda: _raise(ValueError("x"))) is None
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text and "Hidden" not in caplog.text
    assert "without the projector: ValueError at test_explanation.py:" in caplog.text


def test_the_whole_failure_is_in_the_log_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        StageGuard().attempt("retrieval", lambda: _raise(ValueError("details")))
    assert "details" in caplog.text


def test_a_job_that_succeeds_gives_its_result() -> None:
    assert StageGuard().attempt("retrieval", lambda: 3) == 3


def test_leaving_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        StageGuard().attempt("retrieval", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
