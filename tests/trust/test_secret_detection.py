"""Secrets by content: how many of a planted set are found, and how much that is harmless is taken for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import harmless, secrets
from tally import FULL

from indexer.masking import masked, secret_spans
from indexer.never_source import is_secret_file

LEAST_RECALL, LEAST_PRECISION = 0.97, 0.98


def test_precision_and_recall_on_the_planted_set() -> None:
    planted, look_alikes = secrets(10), harmless(20)
    assert len(planted) >= 60 and len(look_alikes) >= 200
    missed = [(item.kind, item.text) for item in planted if item.core in masked(item.text)]
    wrong = [line for line in look_alikes if masked(line) != line]
    n_found = len(planted) - len(missed)
    recall, precision = n_found / len(planted), n_found / (n_found + len(wrong))
    figures = f"recall {recall:.3f} of {len(planted)}, precision {precision:.3f} beside {len(look_alikes)}"
    print(figures)
    assert recall >= LEAST_RECALL, missed
    assert precision >= LEAST_PRECISION, wrong


def test_a_cover_keeps_every_offset_and_line() -> None:
    text = "\r\n".join(f"line {number}\n{item.text}" for number, item in enumerate(secrets(1)))
    hidden = masked(text)
    assert len(hidden) == len(text)
    assert [i for i, c in enumerate(hidden) if c in "\r\n"] == [i for i, c in enumerate(text) if c in "\r\n"]
    outside = [i for i, (a, b) in enumerate(zip(text, hidden, strict=True)) if a != b]
    covered = {i for start, end in secret_spans(text) for i in range(start, end)}
    assert covered.issuperset(outside)


def test_what_is_covered_is_not_found_again() -> None:
    hidden = masked("\n".join(item.text for item in secrets(3)))
    assert masked(hidden) == hidden


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab19\"'=:;@/\n\r\\-_.+ İßpasswordtoken{}BEGINKY"), max_size=300))
def test_any_text_keeps_its_length(text: str) -> None:
    hidden = masked("password=" + text + "-----BEGIN PRIVATE KEY-----" + text)
    assert len(hidden) == len(text) * 2 + len("password=-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("cut", [0.3, 0.6])
def test_a_key_whose_other_end_is_missing_is_covered(cut: float) -> None:
    key = next(item for item in secrets(1) if item.kind == "private key")
    lines = key.text.split("\n")
    half = round(len(lines) * cut) + 1
    for part in ("\n".join(lines[:half]), "\n".join(lines[half:])):
        hidden = masked(f"x = 1\n{part}\ny = 2\n")
        assert "x = 1" in hidden and "y = 2" in hidden
        assert not any(line in hidden for line in lines if len(line) == 64 and line in part)


@pytest.mark.parametrize(
    "path",
    [
        ".env", "app/.env.production", "deploy/prod.env", "ID_RSA", "keys/server.PEM",
        "home/.ssh/config", "credentials", "conf/credentials.json", "my-service-credentials.json",
        "client_secret_12.json", "infra/terraform.tfstate", ".npmrc", ".pypirc", ".git-credentials",
        "release.keystore", "vault.kdbx", "secrets.yaml", ".aws/credentials", "terraform.tfvars",
        ".kube/config", "a/.docker/config.json", ".bash_history", "local.settings.json",
        "secrets.prod.yaml", ".htpasswd",
    ],
)  # fmt: skip
def test_a_name_that_says_secret(path: str) -> None:
    assert is_secret_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "secrets.py", "src/credentials.ts", "credentials/store.go", "token.go", "environment.py",
        "env.d.ts", "keys.rs", "monkey.py", "passwords_test.rb", "auth.py", "locales/en/auth.json",
        "config.json", "secret_manager.java", "key.c", "pem.py", "package.json", "docker/config.json",
    ],
)  # fmt: skip
def test_source_that_speaks_of_secrets_is_source(path: str) -> None:
    assert not is_secret_file(path)


SLOW = """
import sys
sys.path.insert(0, sys.argv[1])
from indexer.masking import secret_spans
dashes = "-" * 5
begin, end = f"{dashes}BEGIN PRIVATE KEY{dashes}", f"{dashes}END PRIVATE KEY{dashes}"
n = int(sys.argv[2])
words = ("token", "password=", "eyJ-", "sk-", "pypi-", "://a:", "bearer ", "'", "secret: ")
for piece in (*words, begin, end, begin + "\\n"):
    secret_spans(piece * (n // len(piece)))
    secret_spans((begin + "\\n" + "+/n " * (n // 8) + "!\\n" + piece) * 2)
print("done")
"""


def test_a_text_made_to_be_slow_is_done_all_the_same() -> None:
    """Found by thought: unbounded patterns took minutes for a megabyte of one word."""
    command = [sys.executable, "-I", "-c", SLOW, str(Path(__file__).resolve().parents[2])]
    command.append("1000000" if FULL else "60000")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n", done.stderr


def test_a_long_token_is_covered_to_its_end() -> None:
    token = next(item.core for item in secrets(1) if item.kind == "jwt") + "Ab9-" * 900
    assert token[-40:] not in masked(f'send("{token}")')
