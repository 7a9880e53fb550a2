"""Secrets made for the tests, and what only looks like them.

Owns the sets, drawn from a seed, so none stands in the repository. Nothing was ever valid anywhere.
"""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass

SEED = 20_251
_BASE62 = string.ascii_letters + string.digits
_BASE64 = _BASE62 + "+/"
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_SYLLABLES = ("ka", "lor", "min", "tev", "sor", "ulp", "ran", "dix", "quo", "bel", "zan", "fir")


@dataclass(frozen=True)
class Planted:
    """A line (or lines) of source with `secret` in it; `core` is what must never be seen again."""

    kind: str
    text: str
    core: str


def secrets(per_kind: int = 5, seed: int = SEED) -> list[Planted]:
    """`per_kind` of each kind."""
    draw = random.Random(seed)
    return [planted for _ in range(per_kind) for planted in _one_of_each(draw)]


def harmless(n: int = 12, seed: int = SEED) -> list[str]:
    """`n` lines of each kind of look-alike."""
    draw = random.Random(seed + 1)
    return [line for _ in range(n) for line in _look_alikes(draw)]


def _some(draw: random.Random, letters: str, n: int) -> str:
    """Drawn at random, with a digit and a letter in it."""
    while True:
        drawn = "".join(draw.choices(letters, k=n))
        if any(c.isdigit() for c in drawn) and any(c.isalpha() for c in drawn):
            return drawn


def _words(draw: random.Random) -> str:
    return "".join(draw.sample(_SYLLABLES, 3))


def _jwt(draw: random.Random) -> str:
    parts = [
        {"alg": "HS256", "typ": "JWT"},
        {"sub": _some(draw, string.digits + "a", 10), "name": _words(draw)},
    ]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, _some(draw, _BASE62 + "-_", 43)))


def _private_key(draw: random.Random, kind: str) -> tuple[str, str]:
    body = [_some(draw, _BASE64, 64) for _ in range(6)]
    dashes = "-" * 5
    text = "\n".join(
        (f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}", *body, f"{dashes}END {kind}PRIVATE KEY{dashes}")
    )
    return text, body[3]


def _one_of_each(draw: random.Random) -> list[Planted]:
    return [*_of_issuers(draw), *_by_name(draw), *_in_places(draw)]


def _of_issuers(draw: random.Random) -> list[Planted]:
    tokens = {
        "aws id": "AK" + "IA" + _some(draw, _UPPER[:26] + "234567", 16),
        "github": "gh" + draw.choice("pousr") + "_" + _some(draw, _BASE62, 36),
        "github fine-grained": "github" + "_pat_" + _some(draw, _BASE62 + "_", 82),
        "gitlab": "gl" + "pat-" + _some(draw, _BASE62, 20),
        "slack": "xo" + "xb-" + "-".join((_some(draw, _UPPER, 11), _some(draw, _BASE62, 24))),
        "slack hook": "https://hooks.sl"
        + f"ack.com/services/T{_some(draw, _UPPER, 8)}/B{_some(draw, _BASE62, 30)}",
        "stripe": "sk" + "_live_" + _some(draw, _BASE62, 24),
        "google": "AI" + "za" + _some(draw, _BASE62 + "-_", 35),
        "google oauth": "GOC" + "SPX-" + _some(draw, _BASE62, 28),
        "openai": "s" + "k-proj-" + _some(draw, _BASE62, 48),
        "npm": "np" + "m_" + _some(draw, _BASE62, 36),
        "sendgrid": "S" + "G." + _some(draw, _BASE62, 22) + "." + _some(draw, _BASE62, 43),
        "telegram": _some(draw, string.digits + "a", 9).replace("a", "7")
        + ":A"
        + "A"
        + _some(draw, _BASE62, 33),
        "digitalocean": "do" + "p_v1_" + _some(draw, _HEX, 64),
        "jwt": _jwt(draw),
    }
    return [Planted(kind, f'client = connect("{token}")', token) for kind, token in tokens.items()]


def _by_name(draw: random.Random) -> list[Planted]:
    aws, api, hexed, sign = (
        _some(draw, letters, n) for letters, n in ((_BASE64, 40), (_BASE62, 32), (_HEX, 32), (_BASE64, 44))
    )
    word = f"{_words(draw)}{draw.randint(10, 99)}"
    marked = f"{_words(draw).title()}!{draw.randint(100, 999)}#"
    return [
        Planted("aws secret", f'AWS_SECRET_ACCESS_KEY = "{aws}"', aws),
        Planted("api key", f"const apiKey = '{api}';", api),
        Planted("hex token", f'  "auth_token": "{hexed}",', hexed),
        Planted("signing key", f'signing_key: str = "{sign}"', sign),
        Planted("password", f'db_password = "{word}"', word),
        Planted("password argument", f'login(user="anna", password="{marked}")', marked),
        Planted("password in yaml", f"    password: {word[::-1]}", word[::-1]),
        Planted("token in a shell", f"export SERVICE_TOKEN={api[::-1]}", api[::-1]),
    ]  # fmt: skip


def _in_places(draw: random.Random) -> list[Planted]:
    url, azure, bearer, random_one = (_some(draw, _BASE62, n) for n in (14, 86, 40, 40))
    plain, plain_core = _private_key(draw, draw.choice(("RSA ", "EC ", "OPENSSH ", "")))
    quoted, quoted_core = _private_key(draw, "")
    return [
        Planted("url", f'DATABASE = "postgres://app:{url}@db.internal:5432/main"', url),
        Planted("connection string", f'"Endpoint=https;AccountName=x;AccountKey={azure}==;Suffix=y"', azure),
        Planted("header", f'headers = {{"Authorization": "Bearer {bearer}"}}', bearer),
        Planted("random string", f'settings.configure("{random_one}")', random_one),
        Planted("private key", f'KEY = """{plain}\n"""', plain_core),
        Planted("private key in json", json.dumps({"key": quoted}), quoted_core),
    ]


def _look_alikes(draw: random.Random) -> list[str]:
    hexed = lambda n: _some(draw, _HEX, n)  # noqa: E731 - a short name for many uses
    word, other, third = _words(draw), _words(draw), _words(draw)
    icon = base64.b64encode(draw.randbytes(300)).decode()
    digest = base64.b64encode(draw.randbytes(64)).decode()
    uuid = "-".join(hexed(n) for n in (8, 4, 4, 4, 12))
    return [
        f'request_id = "{uuid}"',
        f'COMMIT = "{hexed(40)}"',
        f'  sha256 = "{hexed(64)}"',
        f'"integrity": "sha512-{digest}",',
        f'src="data:image/png;base64,{icon}"',
        f"from {word}.{other}.{third} import {word.title()}{other.title()}{third.title()}Factory",
        f'"{word.title()}{other.title()}{third.title()}ConfigurationForSequenceClassification2d"',
        f'password = os.environ["{word.upper()}_PASSWORD"]',
        f'password = get_password("{word}")',
        'parser.add_argument("--password", help="the password to use")',
        f'token = tokenizer.next_token("{word}_{other}")',
        f'secret_name = "{word}-{other}-credentials"',
        '"password": "your-password-here",',
        f'url = "https://user:${{PASSWORD}}@{word}.example/{other}"',
        f"API_TOKEN=<your token for {word}>",
        f'labels = {{"password": "Enter your {word} password", "token": "Token"}}',
        f'ALPHABET = "{string.ascii_letters}{string.digits}"',
        f'path = "/usr/share/{word}/{other}/{third}/Version2/Data15.txt"',
        f'assert hash_of({word}) == "{hexed(32)}"',
        f"access_token: str = Field(default=None, alias='{word}')",
        f'token_url = "https://{word}.org/oauth2/{other}/token"',
        f'test_{word}_{other}_raises_when_{third}_is_missing_2("{word}_{other}_{third}_v2_0")',
        f"password: Optional[str] = None  # {word}",
        f'tokens = ["{word}", "{other}", "IDENT", "NUMBER"]',
    ]
