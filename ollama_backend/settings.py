"""Settings: read once from the environment and `.env`, and checked all together."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import dotenv
import limits

from ollama_backend.auth import generate_key
from ollama_backend.formats import is_cloud, model_name, parse_duration, parse_host

LOCAL_MODEL = "qwen3:4b"
CLOUD_MODEL = "deepseek-v3.1:671b-cloud"
SECRETS = ("OLLAMA_API_KEY", "OLLAMA_CLOUD_API_KEY")
_HUB_FILE = re.compile(r"hf://[\w.-]+/[\w.-]+(@[^/]+)?/[^@]+\.gguf(@.+)?")


class SettingsError(Exception):
    """Invalid settings; `problems` names each variable, its fault and the fix."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(**meanings: Any) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if text.lower() not in meanings:
            raise ValueError(f"is none of {', '.join(meanings)}")
        return meanings[text.lower()]

    return parse


def _seconds(text: str) -> float:
    try:
        return max(0.0, parse_duration(text))
    except ValueError:
        raise ValueError("is not a duration; write it as 90s, 5m or 1h30m") from None


def _host(text: str) -> str:
    try:
        return parse_host(text)
    except ValueError as exc:
        raise ValueError(f"is not an address: {exc}; write it as host:port or https://host") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _keys(text: str) -> tuple[str, ...]:
    keys = _list(text)
    if not keys or not all(key.isascii() and key.isprintable() for key in keys):
        raise ValueError("must be printable ASCII, several keys separated by commas")
    return keys


def _secret(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII")
    return text


def _models(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_list(text)))


def _rate(text: str) -> str | None:
    if text.lower() == "off":
        return None
    try:
        limits.parse(text)
    except ValueError:
        raise ValueError("is not a rate; write it as 60/minute, or off") from None
    return text


def _frame_ancestors(text: str) -> str:
    if re.search(r"[;,\x00-\x1f\x7f]", text) or not text.isascii():
        raise ValueError("is not a list of origins; separate them by spaces, as https://a.example https://b.example")
    return text


def _gguf(text: str) -> str:
    if text.startswith("hf://"):
        if not _HUB_FILE.fullmatch(text):
            raise ValueError("does not name a file; write it as hf://owner/repository/file.gguf")
        return text
    if not Path(text).expanduser().is_file():
        raise ValueError(
            "is no file that can be read; give the path of a GGUF file, or hf://owner/repository/file.gguf"
        )
    return str(Path(text).expanduser().resolve())


def setting(name: str, parse: Callable[[str], Any], default: Any = MISSING, *, secret: bool = False) -> Any:
    """Declare one setting: its variable, how its text is read, and its default."""
    more: dict[str, Any] = {} if default is MISSING else {"default": default}
    return field(metadata={"name": name, "parse": parse, "secret": secret}, repr=not secret, kw_only=True, **more)


@dataclass(frozen=True)
class Settings:
    """Every setting, as parsed; durations are in seconds. Secrets never show in the representation."""

    host: str = setting("OLLAMA_HOST", _host, "http://127.0.0.1:11434")
    named_model: str | None = setting("OLLAMA_MODEL", str, None)
    keys: tuple[str, ...] = setting("OLLAMA_API_KEY", _keys, (), secret=True)
    cloud_key: str | None = setting("OLLAMA_CLOUD_API_KEY", _secret, None, secret=True)
    given_parallel: int | None = setting("OLLAMA_NUM_PARALLEL", _whole(1, 1000), None)
    load_timeout: float = setting("OLLAMA_LOAD_TIMEOUT", _seconds, 300.0)
    origins: tuple[str, ...] = setting("OLLAMA_ORIGINS", _list, ("*",))
    owns: bool | None = setting("CHAT_OWNS_OLLAMA", _one_of(yes=True, no=False), None)
    access: Literal["key", "open"] = setting("CHAT_ACCESS", _one_of(key="key", open="open"), "key")
    models: tuple[str, ...] = setting("CHAT_MODELS", _models, ())
    system_prompt: str | None = setting("CHAT_SYSTEM_PROMPT", str, None, secret=True)
    max_waiting: int = setting("CHAT_MAX_WAITING", _whole(0), 32)
    rate_limit: str | None = setting("CHAT_RATE_LIMIT", _rate, "60/minute")
    max_tokens: int = setting("CHAT_MAX_TOKENS", _whole(1), 4096)
    resume_seconds: float = setting("CHAT_RESUME_SECONDS", _seconds, 60.0)
    silence_timeout: float = setting("CHAT_SILENCE_TIMEOUT", _seconds, 600.0)
    given_proxies: int | None = setting("CHAT_TRUSTED_PROXIES", _whole(0, 100), None)
    frame_ancestors: str = setting("CHAT_FRAME_ANCESTORS", _frame_ancestors, "*")
    gguf: str | None = setting("CHAT_GGUF", _gguf, None)
    port: int = setting("PORT", _whole(1, 65535), 7860)
    generated_key: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.keys:
            object.__setattr__(self, "keys", (generate_key(),))
            object.__setattr__(self, "generated_key", True)

    @property
    def model(self) -> str:
        """The model when a request names none and no embedded engine runs."""
        return self.named_model or (CLOUD_MODEL if self.is_cloud else LOCAL_MODEL)

    @property
    def num_parallel(self) -> int:
        """Answers generated at the same time."""
        return self.given_parallel or (8 if self.is_cloud else 1)

    @property
    def trusted_proxies(self) -> int:
        """Proxies in front whose `X-Forwarded-For` entries are believed."""
        return (1 if self.environment.get("SPACE_ID") else 0) if self.given_proxies is None else self.given_proxies

    @property
    def is_cloud(self) -> bool:
        """Whether Ollama's own cloud is used."""
        return self.gguf is None and is_cloud(self.host)

    @property
    def public_url(self) -> str:
        """Where people find the page: the Space's host, else this machine."""
        space = self.environment.get("SPACE_HOST", "").split(",")[0].strip()
        return f"https://{space}" if space else f"http://localhost:{self.port}"


def variables() -> Iterator[Field[Any]]:
    """Yield the fields of `Settings` that are read from a variable."""
    return (f for f in fields(Settings) if "name" in f.metadata)


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings in an environment. Blank means unset. Raises SettingsError with every problem."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    given.setdefault("PORT", given.get("GRADIO_SERVER_PORT", "7860"))
    values: dict[str, Any] = {}
    problems = []
    for f in variables():
        name = f.metadata["name"]
        if name not in given:
            continue
        try:
            values[f.name] = f.metadata["parse"](given[name])
        except ValueError as exc:
            shown = "its value" if f.metadata["secret"] else repr(given[name])
            problems.append(f"{name}: {shown} {exc}.")
    settings = Settings(**values, environment={k: v for k, v in given.items() if k not in SECRETS})
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.is_cloud and not settings.cloud_key:
        yield (
            "OLLAMA_CLOUD_API_KEY: it is missing, and OLLAMA_HOST names Ollama's cloud. Set it to your key from "
            "https://ollama.com/settings/keys. OLLAMA_API_KEY is the key that callers of this server present; it is "
            "never sent to Ollama, so a cloud key that stands there belongs into OLLAMA_CLOUD_API_KEY."
        )
    if settings.is_cloud and settings.host.startswith("http://"):
        yield "OLLAMA_HOST: it would send the cloud key in the clear. Write it as https://ollama.com."
    allowed = [model_name(name) for name in settings.models]
    if allowed and not settings.gguf and model_name(settings.model) not in allowed:
        yield (
            f"CHAT_MODELS: the default model {settings.model!r} is not among them. Add it, or set OLLAMA_MODEL to one "
            "of them."
        )


def load_from_process(env_file: Path) -> Settings:
    """Return the settings of this process, with `env_file` for what its environment lacks.

    The keys are taken out of the process's environment: the `ollama` package would send `OLLAMA_API_KEY` to every
    server it talks to (ollama-python, _client.py), and child processes would inherit it.
    """
    environment = {name: value for name, value in os.environ.items() if value.strip()}
    try:
        lines = dotenv.dotenv_values(env_file, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([f".env: it cannot be read ({type(exc).__name__}). Make it readable UTF-8 text."]) from exc
    for name, value in lines.items():
        environment.setdefault(name, value or "")
    for name in SECRETS:
        os.environ.pop(name, None)
    return load(environment)
