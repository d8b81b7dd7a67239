"""Settings: every default, every problem at once, no secret shown."""

import os
from pathlib import Path

import pytest

from ollama_backend.settings import SettingsError, load, load_from_process, variables


def problems(**environment: str) -> list[str]:
    """The problems of an environment."""
    with pytest.raises(SettingsError) as caught:
        load(environment)
    return caught.value.problems


def test_defaults() -> None:
    """With nothing set, every setting has its documented default and a key is made."""
    settings = load({})
    assert (settings.host, settings.model, settings.num_parallel) == ("http://127.0.0.1:11434", "qwen3:4b", 1)
    assert (settings.load_timeout, settings.silence_timeout, settings.resume_seconds) == (300, 600, 60)
    assert (settings.access, settings.port, settings.max_waiting, settings.max_tokens) == ("key", 7860, 32, 4096)
    assert (settings.rate_limit, settings.origins, settings.frame_ancestors) == ("60/minute", ("*",), "*")
    assert settings.trusted_proxies == 0
    assert settings.generated_key
    assert len(settings.keys[0]) == 43
    assert load({}).keys != settings.keys


def test_blank_means_unset() -> None:
    """A blank value is as good as none."""
    settings = load({"OLLAMA_API_KEY": "  ", "PORT": "", "CHAT_RATE_LIMIT": " "})
    assert settings.generated_key and settings.port == 7860 and settings.rate_limit == "60/minute"


def test_every_problem_is_reported_at_once() -> None:
    """One start tells all that is wrong, each with the variable's name."""
    found = problems(
        OLLAMA_HOST="ftp://x", OLLAMA_NUM_PARALLEL="many", PORT="99999", CHAT_ACCESS="all", CHAT_RATE_LIMIT="0/minute",
        OLLAMA_LOAD_TIMEOUT="soon", CHAT_GGUF="/no/such.gguf", CHAT_FRAME_ANCESTORS="a; b", CHAT_OWNS_OLLAMA="maybe",
    )  # fmt: skip
    assert sorted(line.split(":")[0] for line in found) == [
        "CHAT_ACCESS", "CHAT_FRAME_ANCESTORS", "CHAT_GGUF", "CHAT_OWNS_OLLAMA", "CHAT_RATE_LIMIT", "OLLAMA_HOST",
        "OLLAMA_LOAD_TIMEOUT", "OLLAMA_NUM_PARALLEL", "PORT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "others"),
    [
        ({"OLLAMA_API_KEY": "ü"}, {"CHAT_REDIS_URL": "redis://h"}),
        ({"CHAT_UPSTREAM": "myhost/v1"}, {"CHAT_UPSTREAM_KEY": "k"}),
        ({"CHAT_UPSTREAM": "myhost/v1"}, {"CHAT_MODELS": "a"}),
        ({"OLLAMA_CLOUD_API_KEY": "ü"}, {"OLLAMA_HOST": "ollama.com"}),
        ({"CHAT_GGUF": "/no/such.gguf"}, {"OLLAMA_HOST": "http://ollama.com"}),
        ({"CHAT_GGUF": "/no/such.gguf"}, {"CHAT_MODELS": "a", "OLLAMA_MODEL": "b"}),
        ({"OLLAMA_HOST": "ftp://ollama.com"}, {"CHAT_MODELS": "a"}),
    ],
)
def test_a_bad_value_is_one_problem(wrong: dict[str, str], others: dict[str, str]) -> None:
    """It counts neither as missing nor as the default when other settings are checked."""
    (problem,) = problems(**wrong, **others)
    assert problem.startswith(f"{next(iter(wrong))}: ")


def test_a_bad_value_hides_no_other_contradiction() -> None:
    """Problems that do not depend on it are reported too."""
    found = problems(OLLAMA_HOST="ftp://x", OLLAMA_MODEL="b", CHAT_MODELS="a", CHAT_UPSTREAM_KEY="k", PORT="x")
    assert [line.split(":")[0] for line in found] == ["OLLAMA_HOST", "PORT", "CHAT_UPSTREAM_KEY", "CHAT_MODELS"]


@pytest.mark.parametrize("name", ["OLLAMA_HOST", "CHAT_UPSTREAM", "CHAT_REDIS_URL"])
@pytest.mark.parametrize("text", ["[", ",", "https://[x]/v1", "redis://h:99999", "https://h:p/v1"])
def test_what_is_no_address_is_refused(name: str, text: str) -> None:
    """With the name and an address as it should be, whichever part is wrong."""
    (problem,) = problems(**{name: text, "OLLAMA_API_KEY": "key"})
    assert problem.startswith(f"{name}: ") and "write it as" in problem


@pytest.mark.parametrize(
    "text",
    [
        "*", "null", "app://*", "file://*", "tauri://localhost", "chrome-extension://*,moz-extension://*",
        "http://a.example:8080", "https://*.example", "*.example", "*://a.example", "http://[::1]:3000",
    ],
)  # fmt: skip
def test_origins(text: str) -> None:
    """Every form that Ollama documents, and `null`."""
    assert load({"OLLAMA_ORIGINS": text}).origins == tuple(text.split(","))


def test_the_final_slash_of_an_origin() -> None:
    """It is removed: no browser sends it."""
    assert load({"OLLAMA_ORIGINS": "https://a.example/, app://b/"}).origins == ("https://a.example", "app://b")


@pytest.mark.parametrize(
    "text",
    [
        "a.example", "https://a.example,b.example", "localhost:3000", "https://a.example/page", "https://a.example/*",
        "https://a b", '"https://a.example","https://b.example"', "https://a.example https://b.example",
    ],
)  # fmt: skip
def test_what_is_no_origin(text: str) -> None:
    """Nothing that a browser sends could match it."""
    (problem,) = problems(OLLAMA_ORIGINS=text)
    assert problem.startswith("OLLAMA_ORIGINS: ") and "is not an origin; write it as https://" in problem


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("self", "'self'"),
        ("'none'", "'none'"),
        ("NONE", "'none'"),
        ("Self  https://a.example", "'self' https://a.example"),
        ("https://*.example b.example:8443 app:", "https://*.example b.example:8443 app:"),
    ],
)
def test_sites_that_may_embed_the_page(text: str, sources: str) -> None:
    """Sources of a content security policy; its keywords with or without quotes."""
    assert load({"CHAT_FRAME_ANCESTORS": text}).frame_ancestors == sources


@pytest.mark.parametrize("text", ["a; b", "a,b", "none https://a.example", '"https://a.example" b', "'a.example'", "ä"])
def test_what_is_no_list_of_sites(text: str) -> None:
    """A browser would ignore it, or read it as another directive."""
    (problem,) = problems(CHAT_FRAME_ANCESTORS=text)
    assert problem.startswith("CHAT_FRAME_ANCESTORS: ")


@pytest.mark.parametrize("name", [field.metadata["name"] for field in variables()])
def test_bytes_that_are_not_utf_8_are_refused(name: str) -> None:
    """In every variable: Python reads them as surrogates, which would break an answer later."""
    (problem,) = problems(**{name: os.fsdecode(b"caf\xe9")})
    assert problem.startswith(f"{name}: ") and "is not UTF-8; save the file" in problem


@pytest.mark.parametrize("text", ["60/minute", "100 per 2 hours", "5/10 second", "1 / DAY", "007/minute", "OFF"])
def test_a_rate_is_one_limit(text: str) -> None:
    """In every notation of the package `limits`, or `off`."""
    assert load({"CHAT_RATE_LIMIT": text}).rate_limit == (None if text == "OFF" else text)


@pytest.mark.parametrize(
    "text",
    [
        "100/minute;1/hour", "60/minute, 100/hour", "1/hour|2/day", "60/minute 1/hour", "5/minute;", "0/minute",
        "5/0 minute", "5/-1 minute", "5/fortnight", "5", "/minute", "9999999999/minute", "off;5/minute",
        "\u0665/minute",
    ],
)  # fmt: skip
def test_any_other_rate_is_refused(text: str) -> None:
    """Above all several limits: only the first would count."""
    (problem,) = problems(CHAT_RATE_LIMIT=text)
    assert problem.startswith("CHAT_RATE_LIMIT: ") and "is not one rate; write it as 60/minute" in problem


def test_no_secret_is_shown() -> None:
    """Neither a problem nor the representation of settings holds a secret."""
    found = problems(OLLAMA_API_KEY="schlüssel-geheim", OLLAMA_CLOUD_API_KEY="wolke-ü")
    assert len(found) == 2 and "geheim" not in str(found) and "wolke" not in str(found)
    settings = load({"OLLAMA_API_KEY": "hush", "OLLAMA_CLOUD_API_KEY": "hushhush", "CHAT_SYSTEM_PROMPT": "hushed"})
    assert "hush" not in repr(settings)
    assert "OLLAMA_API_KEY" not in settings.environment and "OLLAMA_CLOUD_API_KEY" not in settings.environment


def test_several_keys() -> None:
    """Commas separate keys that are all valid, as for a rotation."""
    assert load({"OLLAMA_API_KEY": "one, two ,,"}).keys == ("one", "two")
    assert "OLLAMA_API_KEY" in problems(OLLAMA_API_KEY=",")[0]


def test_the_cloud_needs_its_own_key() -> None:
    """A cloud host without a cloud key is refused, in words that help who has put it into the inbound one."""
    (problem,) = problems(OLLAMA_HOST="https://ollama.com", OLLAMA_API_KEY="cloud-key")
    assert problem.startswith("OLLAMA_CLOUD_API_KEY") and "OLLAMA_API_KEY" in problem and "cloud-key" not in problem
    settings = load({"OLLAMA_HOST": "ollama.com", "OLLAMA_CLOUD_API_KEY": "k"})
    assert (settings.model, settings.num_parallel) == ("deepseek-v3.1:671b-cloud", 8)
    assert "clear text" in problems(OLLAMA_HOST="http://ollama.com", OLLAMA_CLOUD_API_KEY="k")[0]


def test_the_default_model_must_be_allowed() -> None:
    """`OLLAMA_MODEL` is among `CHAT_MODELS`, compared as Ollama compares names."""
    assert "qwen3:4b" in problems(CHAT_MODELS="llama3.2")[0]
    assert load({"CHAT_MODELS": "a, library/B:latest", "OLLAMA_MODEL": "b"}).models == ("a", "library/B:latest")


@pytest.mark.parametrize(
    "name",
    ["qwen3", "Qwen3:4b-q8_0", "library/b:latest", "hf.co/a/B-GGUF:Q4_K_M", "https://hf.co/a/b", "host:5000/a/b:tag"],
)
def test_names_of_models(name: str) -> None:
    """Every form that Ollama takes."""
    settings = load({"OLLAMA_MODEL": name, "CHAT_MODELS": f"other, {name}"})
    assert settings.model == name and settings.models == ("other", name)


@pytest.mark.parametrize(
    "name", ["llama 3", "ü", '"guide"x', "a:", ":b", "./m.gguf", "a/b/c/d", "x" * 400, "a;b", "../a"]
)
def test_what_is_no_name_of_a_model(name: str) -> None:
    """Ollama would refuse it; the names of other servers may be anything."""
    assert [line.split(" is not ")[0] for line in problems(OLLAMA_MODEL=name, CHAT_MODELS=f"a,{name}")] == [
        f"OLLAMA_MODEL: {name!r}",
        f"CHAT_MODELS: {name!r}",
    ]
    assert "name:tag" in problems(OLLAMA_MODEL=name, CHAT_MODELS="a")[0]
    assert load({"OLLAMA_MODEL": name, "CHAT_UPSTREAM": "https://h/v1"}).model == name
    assert len(problems(OLLAMA_MODEL=name, CHAT_UPSTREAM="h/v1")) == 1


def test_hub_files(tmp_path: Path) -> None:
    """`CHAT_GGUF` holds files that exist or files on the hub, each under a name of its own."""
    here = tmp_path / "m.gguf"
    here.write_bytes(b"GGUF")
    assert load({"CHAT_GGUF": str(here)}).ggufs == (str(here),)
    for hub in ("hf://Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf", "hf://a/b@main/c/d.gguf", "hf://a/b/c.gguf@v1"):
        assert load({"CHAT_GGUF": f"{hub} , {here}"}).ggufs == (hub, str(here))
    assert "both be served as m; rename one" in problems(CHAT_GGUF=f"{here},hf://a/b/M.gguf")[0]
    comma = tmp_path / "a,b.gguf"
    comma.write_bytes(b"GGUF")
    assert load({"CHAT_GGUF": str(comma)}).ggufs == (str(comma),)
    assert "hf://owner" in problems(CHAT_GGUF="hf://nothing")[0]


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` fills in what the environment lacks; blank counts as lacking; keys leave the process's environment."""
    for name in ("OLLAMA_MODEL", "CHAT_MAX_TOKENS", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_API_KEY", "from-environment")
    monkeypatch.setenv("CHAT_MAX_WAITING", " ")
    monkeypatch.setenv("OLLAMA_HOST", "gpu-1=2,gpu-2=2")
    (tmp_path / ".env").write_text('OLLAMA_API_KEY=from-file\nOLLAMA_MODEL="llama3.2"\nCHAT_MAX_WAITING=7\nEMPTY=\n')
    settings = load_from_process(tmp_path / ".env")
    assert settings.keys == ("from-environment",)
    assert (settings.model, settings.max_waiting) == ("llama3.2", 7)
    assert len(settings.hosts) == 2
    assert "OLLAMA_API_KEY" not in os.environ and "OLLAMA_HOST" not in os.environ


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no setting is set."""
    for field in variables():
        monkeypatch.delenv(field.metadata["name"], raising=False)
    return monkeypatch


def test_quotes_around_a_value(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are removed, as `docker run --env-file` leaves them; those inside stay, also from `.env`."""
    for name, value in {
        "OLLAMA_API_KEY": '"KEY"',
        "OLLAMA_MODEL": "'guide'",
        "OLLAMA_ORIGINS": ' "https://a.example" ',
        "OLLAMA_HOST": '"gpu-1=2,gpu-2"',
        "CHAT_FRAME_ANCESTORS": "'self'",
        "CHAT_MAX_TOKENS": '""',
        "PORT": "'8000'",
        "CHAT_SYSTEM_PROMPT": """'"Yes"'""",
    }.items():
        clean.setenv(name, value)
    (tmp_path / ".env").write_text("CHAT_MAX_TOKENS=7\n")
    settings = load_from_process(tmp_path / ".env")
    assert (settings.keys, settings.model, settings.origins) == (("KEY",), "guide", ("https://a.example",))
    assert ([host.places for host in settings.hosts], settings.frame_ancestors) == ([2, None], "'self'")
    assert (settings.max_tokens, settings.port, settings.system_prompt) == (7, 8000, '"Yes"')


@pytest.mark.parametrize("text", ['"Yes" or "No"', "'s", '"', "\"Yes'", '""Yes""'])
def test_quotes_that_belong_to_a_value(text: str, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Quotes that are not a single pair around the whole value stay."""
    clean.setenv("CHAT_SYSTEM_PROMPT", text)
    assert load_from_process(tmp_path / ".env").system_prompt == text
    clean.delenv("CHAT_SYSTEM_PROMPT")
    (tmp_path / ".env").write_text("""CHAT_SYSTEM_PROMPT='"Yes"'\n""")
    assert load_from_process(tmp_path / ".env").system_prompt == '"Yes"'


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """A `.env` that is no text is told in words."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"\.env: it cannot be read"):
        load_from_process(tmp_path / ".env")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("PORT=8000\n\n# a key\nOLLAMA_API_KEY from-file\n", 4),
        ("OLLAMA_API_KEY='from-file\nPORT=8000\n", 1),
        ('\n\nOLLAMA_API_KEY="from-file" and more\nPORT=8000', 3),
        ("\ufeffPORT=8000\n=from-file", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem(
    text: str, line: int, clean: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once, without its text, next to the other problems; no setting counts as missing."""
    clean.setenv("CHAT_REDIS_URL", "redis://h")
    clean.setenv("CHAT_ACCESS", "all")
    (tmp_path / ".env").write_text(text, "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_from_process(tmp_path / ".env")
    unreadable, access = caught.value.problems
    assert unreadable.startswith(f".env: line {line} cannot be read. Write it as NAME=value")
    assert access.startswith("CHAT_ACCESS: ") and "from-file" not in str(caught.value)
    assert not caplog.records
    clean.setenv("PORT", "x")
    with pytest.raises(SettingsError, match="PORT: 'x'"):
        load_from_process(tmp_path / ".env")


def test_every_form_of_a_line(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comments, `export`, quotes, references and a byte order mark."""
    (tmp_path / ".env").write_text(
        "\ufeffOLLAMA_API_KEY=key # mine\nexport PORT=8000\nBASE=guide\nOLLAMA_MODEL=${BASE}:latest\n"
        "CHAT_SYSTEM_PROMPT='two\nlines'\nCHAT_MAX_TOKENS\n",
        "utf-8",
    )
    settings = load_from_process(tmp_path / ".env")
    assert (settings.keys, settings.port, settings.model) == (("key",), 8000, "guide:latest")
    assert (settings.system_prompt, settings.max_tokens) == ("two\nlines", 4096)


def test_a_directory_in_place_of_the_file_is_a_problem(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker creates one for a mounted file that is missing. No file at all is no problem."""
    assert load_from_process(tmp_path / ".env").generated_key
    (tmp_path / ".env").mkdir()
    clean.setenv("PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load_from_process(tmp_path / ".env")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [".env", "PORT"]
    assert "it is a directory. Remove it" in caught.value.problems[0]


def test_where_people_find_the_page() -> None:
    """A Space's own host makes the link; elsewhere it is this machine and the port."""
    assert load({"PORT": "8000"}).public_url == "http://localhost:8000"
    space = load({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space,chat.example.com"})
    assert (space.public_url, space.trusted_proxies) == ("https://a-b.hf.space", 1)
    assert load({"GRADIO_SERVER_PORT": "7870"}).port == 7870


def test_several_hosts_with_their_places() -> None:
    """`OLLAMA_HOST` takes a list; a host without places has `OLLAMA_NUM_PARALLEL`; the first is `host`."""
    settings = load({"OLLAMA_HOST": "gpu-1=4, gpu-2:11500 ,https://far.example=2", "OLLAMA_NUM_PARALLEL": "3"})
    assert settings.host_places == [("http://gpu-1:11434", 4), ("http://gpu-2:11500", 3), ("https://far.example", 2)]
    assert settings.host == "http://gpu-1:11434" and settings.for_host("http://gpu-2:11500").is_one_of_several
    for wrong in ("gpu-1=0", "gpu-1=x", "gpu-1=²", "gpu-1,gpu-1:11434", "gpu-1,ftp://x"):
        with pytest.raises(SettingsError, match=r"OLLAMA_HOST: .*write it as|list it once"):
            load({"OLLAMA_HOST": wrong})


@pytest.mark.parametrize("ending", ["/v1", "/v1/", "/api", "/ollama/V1"])
def test_a_host_with_the_path_of_a_route(ending: str) -> None:
    """Ollama's routes are below the host, so that each would get 404; the path of a proxy is allowed."""
    (problem,) = problems(OLLAMA_HOST=f"gpu-1,http://h:11434{ending}=2")
    assert "write it without /" in problem and "CHAT_UPSTREAM" in problem
    for path in ("/ollama", "/api/ollama", "/v1x", "/xapi"):
        assert load({"OLLAMA_HOST": f"http://h:1{path}"}).host == f"http://h:1{path}"
    assert load({"OLLAMA_HOST": "http://api"}).host == "http://api"


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x.gguf", "x" * 5000, "\0"])
def test_a_model_file_that_cannot_be_looked_for_is_a_problem(path: str) -> None:
    """Not a crash: a home of nobody, a name that is too long, one that no file can have."""
    with pytest.raises(SettingsError, match=r"CHAT_GGUF: .* is not a readable file"):
        load({"CHAT_GGUF": path})
