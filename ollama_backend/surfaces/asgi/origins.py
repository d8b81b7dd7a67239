"""Origins whose pages may use the API."""

import re

# Ollama adds these to OLLAMA_ORIGINS (envconfig/config.go, AllowedOrigins).
ALWAYS_ALLOWED = (
    *(f"{scheme}://{host}{port}" for host in ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - compared, never bound
      for scheme in ("http", "https") for port in ("", ":*")),
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
)  # fmt: skip


class AllowedOrigins:
    """Matches origins against patterns in which `*` matches any text, as in Ollama; case is ignored."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.everyone = "*" in patterns
        joined = "|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in (*patterns, *ALWAYS_ALLOWED))
        self.regex = f"(?i:{joined})"
        self._regex = re.compile(self.regex)

    def allows(self, origin: str) -> bool:
        """Return whether pages of an origin may read responses and open WebSockets."""
        return self._regex.fullmatch(origin) is not None
