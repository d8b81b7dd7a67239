"""Settings, read from the environment and `.env`. All invalid ones are reported together at startup."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ollama_backend import parsers
from ollama_backend.auth import generate_key
from ollama_backend.env_file import read_env_file
from ollama_backend.formats import is_cloud, is_model_name, model_name

LOCAL_MODEL = "qwen3:4b"
CLOUD_MODEL = "deepseek-v3.1:671b-cloud"
SECRETS = ("OLLAMA_API_KEY", "OLLAMA_CLOUD_API_KEY", "CHAT_UPSTREAM_KEY", "CHAT_REDIS_URL")


class SettingsError(Exception):
    """Invalid settings; each of `problems` names a variable, what is wrong and how to fix it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def setting(name: str, parse: Callable[[str], Any], default: Any = MISSING, *, secret: bool = False) -> Any:
    """Declare a setting: its environment variable, its parser and its default."""
    more: dict[str, Any] = {} if default is MISSING else {"default": default}
    return field(metadata={"name": name, "parse": parse, "secret": secret}, repr=not secret, kw_only=True, **more)


@dataclass(frozen=True)
class Settings:
    """All settings, parsed; durations are in seconds. `repr` leaves secrets out."""

    hosts: tuple[parsers.HostPlaces, ...] = setting(
        "OLLAMA_HOST", parsers.hosts, (parsers.HostPlaces("http://127.0.0.1:11434"),)
    )
    named_model: str | None = setting("OLLAMA_MODEL", str, None)
    keys: tuple[str, ...] = setting("OLLAMA_API_KEY", parsers.keys, (), secret=True)
    cloud_key: str | None = setting("OLLAMA_CLOUD_API_KEY", parsers.secret, None, secret=True)
    given_parallel: int | None = setting("OLLAMA_NUM_PARALLEL", parsers.whole(1, 1000), None)
    load_timeout: float = setting("OLLAMA_LOAD_TIMEOUT", parsers.seconds, 300.0)
    origins: tuple[str, ...] = setting("OLLAMA_ORIGINS", parsers.origins, ("*",))
    upstream: str | None = setting("CHAT_UPSTREAM", parsers.upstream, None)
    upstream_key: str | None = setting("CHAT_UPSTREAM_KEY", parsers.secret, None, secret=True)
    redis_url: str | None = setting("CHAT_REDIS_URL", parsers.redis_url, None, secret=True)
    owns: bool | None = setting("CHAT_OWNS_OLLAMA", parsers.one_of(yes=True, no=False), None)
    access: Literal["key", "open"] = setting("CHAT_ACCESS", parsers.one_of(key="key", open="open"), "key")
    models: tuple[str, ...] = setting("CHAT_MODELS", parsers.models, ())
    system_prompt: str | None = setting("CHAT_SYSTEM_PROMPT", str, None, secret=True)
    max_waiting: int = setting("CHAT_MAX_WAITING", parsers.whole(0), 32)
    rate_limit: str | None = setting("CHAT_RATE_LIMIT", parsers.rate, "60/minute")
    max_tokens: int = setting("CHAT_MAX_TOKENS", parsers.whole(1), 4096)
    resume_seconds: float = setting("CHAT_RESUME_SECONDS", parsers.seconds, 60.0)
    silence_timeout: float = setting("CHAT_SILENCE_TIMEOUT", parsers.seconds, 600.0)
    given_shutdown: float | None = setting("CHAT_SHUTDOWN_TIMEOUT", parsers.seconds, None)
    given_proxies: int | None = setting("CHAT_TRUSTED_PROXIES", parsers.whole(0, 100), None)
    frame_ancestors: str = setting("CHAT_FRAME_ANCESTORS", parsers.frame_ancestors, "*")
    ggufs: tuple[str, ...] = setting("CHAT_GGUF", parsers.ggufs, ())
    port: int = setting("PORT", parsers.whole(1, 65535), 7860)
    generated_key: bool = False
    is_one_of_several: bool = False  # set by `for_host`
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.keys:  # without a key anyone who finds the address could use the machine
            object.__setattr__(self, "keys", (generate_key(),))
            object.__setattr__(self, "generated_key", True)

    @property
    def host(self) -> str:
        """The base URL of the first host."""
        return self.hosts[0].url

    @property
    def host_places(self) -> list[tuple[str, int]]:
        """The base URL of every host, and the number of answers generated there at once."""
        if self.upstream:
            return [(self.upstream, self.num_parallel)]
        # With CHAT_GGUF one embedded engine generates all answers.
        hosts = self.hosts[:1] if self.ggufs else self.hosts
        return [(host.url, host.places or self.num_parallel) for host in hosts]

    def for_host(self, url: str) -> "Settings":
        """Return a copy of these settings for one of the hosts."""
        return replace(self, hosts=(parsers.HostPlaces(url),), is_one_of_several=len(self.hosts) > 1)

    @property
    def model(self) -> str:
        """The default model, unless the engine decides it."""
        return self.named_model or (CLOUD_MODEL if self.is_cloud else LOCAL_MODEL)

    @property
    def num_parallel(self) -> int:
        """The number of answers generated at the same time; 1 is Ollama's own default (envconfig/config.go)."""
        return self.given_parallel or (32 if self.upstream else 8 if self.is_cloud else 1)

    @property
    def shutdown_timeout(self) -> float:
        """How long running answers may go on when the server is told to end."""
        return (25.0 if self.redis_url else 0.0) if self.given_shutdown is None else self.given_shutdown

    @property
    def trusted_proxies(self) -> int:
        """The number of proxies in front whose `X-Forwarded-For` entries are trusted; a Space has one."""
        return (1 if self.environment.get("SPACE_ID") else 0) if self.given_proxies is None else self.given_proxies

    @cached_property
    def is_cloud(self) -> bool:
        """Whether Ollama's own cloud is used."""
        return not self.ggufs and self.upstream is None and is_cloud(self.host)

    @property
    def public_url(self) -> str:
        """The page's URL: on the Space's host, or on this machine."""
        # A Space with a custom domain lists both hosts (gradio, oauth.py).
        space = self.environment.get("SPACE_HOST", "").split(",")[0].strip()
        return f"https://{space}" if space else f"http://localhost:{self.port}"


def variables() -> Iterator[Field[Any]]:
    """Yield the fields of `Settings` that are read from the environment."""
    return (f for f in fields(Settings) if "name" in f.metadata)


def load(environment: Mapping[str, str], file_problems: Sequence[str] = ()) -> Settings:
    """Return the settings in an environment. Blank means unset. Raises SettingsError with all problems.

    `file_problems` are those of a file that may contain more settings, so those that are not set are unknown.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    given.setdefault("PORT", given.get("GRADIO_SERVER_PORT", "7860"))  # set on a Space with the Gradio SDK
    values: dict[str, Any] = {}
    problems = list(file_problems)
    unknown = set()
    for f in variables():
        name = f.metadata["name"]
        if name not in given:
            if file_problems:
                unknown.add(name)
            continue
        try:
            values[f.name] = f.metadata["parse"](parsers.utf8(given[name]))
        except ValueError as exc:
            unknown.add(name)
            shown = "its value" if f.metadata["secret"] else repr(given[name])
            problems.append(f"{name}: {shown} {exc}.")
    # Kept for child processes, which get a part of it (ollama/engine/launch.py).
    settings = Settings(**values, environment={k: v for k, v in given.items() if k not in SECRETS})
    if "CHAT_UPSTREAM" not in given.keys() | unknown:  # other servers have names that Ollama would refuse
        for name, problem in _invalid_models(settings):
            unknown.add(name)
            problems.append(problem)
    problems += _contradictions(settings, unknown)
    if problems:
        raise SettingsError(problems)
    return settings


def _invalid_models(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the variables with names that no model of Ollama has, each with its problem."""
    named = (settings.named_model,) if settings.named_model else ()
    for variable, names in (("OLLAMA_MODEL", named), ("CHAT_MODELS", settings.models)):
        for name in names:
            if not is_model_name(model_name(name)):
                yield variable, f"{variable}: {name!r} is not the name of a model; write it as name:tag."


def _contradictions(settings: Settings, unknown: set[str]) -> Iterator[str]:
    """Yield the contradictions between settings, except those that depend on one of the `unknown` variables."""

    def known(*names: str) -> bool:
        return unknown.isdisjoint(names)

    is_cloud = settings.is_cloud and known("OLLAMA_HOST", "CHAT_UPSTREAM", "CHAT_GGUF")
    if is_cloud and not settings.cloud_key and known("OLLAMA_CLOUD_API_KEY"):
        yield (
            "OLLAMA_CLOUD_API_KEY: it is required because OLLAMA_HOST is Ollama's cloud. Set it to your key from "
            "https://ollama.com/settings/keys. Do not put that key in OLLAMA_API_KEY: that is the key for callers of "
            "this server, and it is never sent to Ollama."
        )
    if is_cloud and settings.host.startswith("http://"):
        yield "OLLAMA_HOST: the cloud key would be sent in clear text. Use https://ollama.com."
    if settings.upstream and settings.ggufs:
        yield "CHAT_UPSTREAM: CHAT_GGUF is set too, and only one of them can be used. Remove one."
    if settings.upstream_key and not settings.upstream and known("CHAT_UPSTREAM"):
        yield "CHAT_UPSTREAM_KEY: CHAT_UPSTREAM is not set. Set both, or neither."
    if settings.redis_url and settings.generated_key and known("OLLAMA_API_KEY"):
        yield (
            "OLLAMA_API_KEY: it is missing, and the replicas that share CHAT_REDIS_URL must take the same key. Set it "
            "to the output of: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    allowed = [model_name(name) for name in settings.models]
    decided_later = settings.ggufs or (settings.upstream and not settings.named_model)
    is_model_known = known("CHAT_GGUF", "OLLAMA_MODEL", "CHAT_MODELS") and (
        settings.named_model or known("OLLAMA_HOST", "CHAT_UPSTREAM")
    )
    if allowed and is_model_known and not decided_later and model_name(settings.model) not in allowed:
        yield (
            f"CHAT_MODELS: it does not include the default model {settings.model!r}. Add it, or set OLLAMA_MODEL to a "
            "model in the list."
        )


def load_from_process(env_file: Path) -> Settings:
    """Return the settings of this process; variables missing from its environment are read from `env_file`.

    Removes the keys from the process's environment. Otherwise the `ollama` package would send `OLLAMA_API_KEY` to every
    server (ollama-python, _client.py), and child processes would inherit it. Removes `OLLAMA_HOST` too, because the
    package reads it when it is imported and fails on a list of hosts. Raises SettingsError.
    """
    environment = dict(os.environ)
    for name in {f.metadata["name"] for f in variables()} & environment.keys():
        environment[name] = parsers.unquoted(environment[name])
    environment = {name: value for name, value in environment.items() if value.strip()}
    from_file, problems = read_env_file(env_file)
    environment = from_file | environment
    for name in (*SECRETS, "OLLAMA_HOST"):
        os.environ.pop(name, None)
    return load(environment, problems)
