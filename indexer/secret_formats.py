"""What secrets look like: the formats that issuers publish, the names that secrets are given, and stand-ins.

Owns the patterns. Where they are looked for, and what happens to a match, is `indexer.masking`.
Measured by tests/trust/test_secret_detection.py; why these and no library: docs/decisions/0013.
"""

from __future__ import annotations

import re

# Letters that an issuer reserves, and what follows them; a match hardly ever is anything else. The letters
# are looked for first, which costs next to nothing.
_KNOWN = {
    **dict.fromkeys(("AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA"), r"[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"[A-Za-z0-9]{30,}"),  # GitHub
    "github_pat_": r"[A-Za-z0-9_]{22,}",
    **dict.fromkeys(("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-"), r"[\w-]{20,}"),  # GitLab
    **dict.fromkeys(("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-"), r"[\w-]{10,}"),  # Slack
    "xapp-": r"[\w-]{20,}",
    "hooks.slack.com/": r"(?:services|workflows)/[\w/]{20,}",
    **dict.fromkeys(("sk_live_", "sk_test_", "rk_live_", "rk_test_"), r"[A-Za-z0-9]{16,}"),  # Stripe
    "whsec_": r"[A-Za-z0-9+/=]{24,}",
    "AIza": r"[\w-]{35}",  # Google
    "ya29.": r"[\w-]{20,}",
    "GOCSPX-": r"[\w-]{24,}",
    "sk-": r"(?:proj-|ant-|svcacct-|or-)?(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}",  # OpenAI, Anthropic
    "hf_": r"[A-Za-z]{30,}",  # Hugging Face
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"(?=[\w-]*[A-Z])[\w-]{32,}",
    "dckr_pat_": r"[\w-]{20,}",
    "SG.": r"[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    "SK": r"(?=\w*\d)[0-9a-f]{32}(?!\w)",  # Twilio
    "key-": r"(?=\w*\d)[0-9a-f]{32}(?!\w)",  # Mailgun
    **dict.fromkeys(("dop_v1_", "doo_v1_", "dor_v1_"), r"[0-9a-f]{60,}"),  # DigitalOcean
    **dict.fromkeys(("shpat_", "shpca_", "shppa_", "shpss_"), r"[0-9a-fA-F]{32}"),  # Shopify
    "dapi": r"[0-9a-f]{32}(?!\w)",  # Databricks
    "eyJ": r"[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?",  # JSON web tokens
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{50,}",
    **dict.fromkeys(("hvs.", "hvb."), r"[\w-]{24,}"),  # Vault
}
KNOWN = {
    letters: re.compile(r"(?<![A-Za-z0-9])" + re.escape(letters) + rest) for letters, rest in _KNOWN.items()
}
# Telegram's have their number first.
TELEGRAM = re.compile(r"(?<!\w)\d{8,10}:AA[\w-]{32,}")

# What a secret is called. `key` alone is not here: most keys are those of a mapping.
NAME_WORDS = (
    "passw", "passphrase", "pwd", "secret", "token", "credential", "apikey", "api_key", "api-key",
    "accesskey", "access_key", "access-key", "privatekey", "private_key", "signing_key", "encryption_key",
    "accountkey", "auth_key", "authkey", "authorization", "sharedaccess", "salt",
)  # fmt: skip
# From a name's telling word on: the rest of the name, perhaps a type, a sign of assignment, a quoted value
# (the quote that ends it may still have to be typed).
ASSIGNED = re.compile(
    r"[\w.-]{0,60}(?:[\"'`][ \t]{0,8},"
    r"|[\"'`]?\]?\)?[ \t]{0,8}(?::[ \t]*[\w.\[\]| ]{1,40}?[ \t]*)?(?:=>|:=|==|!=|=|:))[ \t]{0,8}"
    r"[bBrRuUfF@$]{0,2}(?P<quote>[\"'`])(?P<value>(?:\\.|(?!(?P=quote))[^\\\r\n]){6,512})(?:(?P=quote)|(?=[\r\n]|\Z))"
)
NAME_BACKWARDS = re.compile(r"[\w.-]*")
NAME_AFTER = re.compile(r"[\w.-]{0,60}")
# Of files without quotes: shell, YAML, properties. A whole line.
BARE = re.compile(
    r"[ \t]*(?:-[ \t]+|export[ \t]+|set[ \t]+|ENV[ \t]+)?(?P<name>[\w.-]+)(?:=|:[ \t]+|[ \t]+=[ \t]+)"
    r"(?P<value>[^\s\"'`(){}\[\]<>,;|]{8,512})[ \t]*(?:#.*)?"
)
PASSWORD_NAME = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
# A name that says its value is about secrets, not one.
ABOUT = re.compile(
    r"(?:_|-|\.|(?<=[a-z]))(?:id|ids|url|uri|path|file|name|names|type|field|label|header|prefix|regex|pattern"
    r"|algorithm|method|scheme|hint|placeholder|message|error|help|title|env|ref|count|limit|length|expiry|policy"
    r"|urn|dir|folder|class|model|endpoint|version|format)s?$",
    re.IGNORECASE,
)

# After a scheme; the user may be missing.
URL_PASSWORD = re.compile(r"://[^\s/:@\"'`<>]{0,80}:(?P<value>[^\s/@\"'`<>]{3,200})@")
HEADER = re.compile(r"(?:bearer|basic)[ \t]+(?P<value>[\w+/.=~-]{16,})", re.IGNORECASE)
# A part of a connection string or of a query.
PART = re.compile(r"(?<=[;&?])[\w ]{1,40}=(?P<value>[^;&\"'`\s(){}]{6,})")
QUOTED = re.compile(r"[\"'`]([A-Za-z0-9+/_=.-]{24,128})(?=[\"'`])")

PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
PEM_MOST_CHARS = 32_768
# A line that can stand in the body of a key: base64, or a header of it.
PEM_LINE = re.compile(
    r"[ \t\"'+#*/,;\\n]*(?:[A-Za-z0-9+/=]{16,}|(?:Proc-Type|DEK-Info|Version|Comment):.*)?[ \t\"'+,;\\n]*"
)

# Stand-ins that examples and templates show in a secret's place.
STAND_IN = re.compile(
    r"\$\{|\$\(|\{\{|\{[\w.!:]*\}|<[^>]*>|%\(?\w*\)?s|%[\w]+%|\$[A-Za-z_]\w*$|\[[^\]]*\]$"
    r"|example|sample|dummy|fake|changeme|change[-_ ]?me|your[-_ ]?|placeholder|redacted|insert|todo|xxxx"
    r"|\.\.\.|0{6}"
    r"|123456(?:7890?)?$|not[-_]an?[-_]|process\.env|os\.environ|getenv|^(?:null|none|true|false|undefined)$",
    re.IGNORECASE,
)
# Plain words that stand where a password might: of a schema, a form, a message.
PLAIN = re.compile(
    r"pass|secret|token|string|text|hidden|required|field|input|confirm|reset|forgot|login|auth|user|admin|basic"
    r"|bearer|invalid|missing|wrong|optional|default|enter|show|min|max",
    re.IGNORECASE,
)
# What stands before a digest or an embedded file.
DIGEST_BEFORE = re.compile(
    r"(?:sha\d{1,3}|md5|blake\w*|integrity|checksum|digest|etag|base64|h1)[-:=,\"' ]*$", re.IGNORECASE
)
