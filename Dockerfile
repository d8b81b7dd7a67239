# The app, Ollama and one model in one image: for a Docker Space, and for `docker run`.
# Its layers stand in the order of how seldom they change: system, Ollama, model, Python packages, code.
# The base images are pinned by version, Python's also by the digest of its list of platforms, on which eight public
# projects agree. Ollama's digest was found once only, so it is not used; `docker buildx imagetools inspect` prints it.

ARG OLLAMA_IMAGE=docker.io/ollama/ollama:0.33.0
ARG PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c

# hadolint ignore=DL3006 # pinned above
FROM ${OLLAMA_IMAGE} AS ollama

# hadolint ignore=DL3006 # pinned above
FROM ${PYTHON_IMAGE} AS dependencies
# 1 adds the embedded engine, which runs a GGUF file (CHAT_GGUF) without Ollama: 100 MB more.
ARG EMBEDDED=
WORKDIR /build
COPY requirements.lock .
# packages.json says what is installed, each with its licence as its own metadata has it.
RUN set -eu; \
    python -m venv --without-pip /opt/venv; \
    if [ -z "$EMBEDDED" ]; then sed -i '/^xllamacpp==/,/[^\\]$/d' requirements.lock; fi; \
    python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --root-user-action=ignore \
        --disable-pip-version-check --require-hashes --requirement requirements.lock; \
    /opt/venv/bin/python -c 'import json; from importlib.metadata import distributions; \
kinds = lambda m: [c for c in m.get_all("Classifier", []) if c.startswith("License ::")]; \
print(json.dumps([{"name": d.name, "version": d.version, "licence": d.metadata["License-Expression"] or kinds(d.metadata) \
or d.metadata["License"], "files": d.metadata.get_all("License-File")} for d in distributions()], indent=1))' \
        >/opt/venv/packages.json; \
    find /opt/venv/lib -type d -name tests -path '*/site-packages/*/tests' -prune -exec rm -r {} +; \
    python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

# hadolint ignore=DL3006 # pinned above
FROM ${PYTHON_IMAGE} AS code
ARG EMBEDDED=
# What the app asks when nothing names a model; written only where it differs from the app's own default, which
# depends on OLLAMA_HOST.
ARG OLLAMA_MODEL=qwen3:4b
WORKDIR /app
COPY app.py start.sh requirements.txt requirements.lock ./
COPY ollama_backend ollama_backend
RUN set -eu; \
    if [ -z "$EMBEDDED" ]; then rm -r ollama_backend/embedded; fi; \
    case "$OLLAMA_MODEL" in ""|qwen3:4b) ;; *) echo "OLLAMA_MODEL=$OLLAMA_MODEL" >.env;; esac; \
    chmod -R u=rwX,go=rX .; \
    chmod 755 start.sh; \
    python -m compileall -q --invalidation-mode unchecked-hash .

# hadolint ignore=DL3006 # pinned above
FROM ${PYTHON_IMAGE} AS engine
ARG EMBEDDED=
# Folders of GPU libraries to copy from Ollama's image, such as "cuda_v12 cuda_v13": gigabytes of no use to a CPU.
ARG OLLAMA_GPU=
# Named here so that another Ollama is another layer also for builders that do not look into mounts.
ARG OLLAMA_IMAGE
# Home belongs to group 0, and so does what comes into it: OpenShift runs the image as any user of that group.
# hadolint ignore=DL3008 # the base image is pinned
RUN set -eu; \
    useradd --create-home --uid 1000 user; \
    chgrp 0 /home/user; \
    chmod 2770 /home/user; \
    if [ -n "$EMBEDDED" ]; then \
        apt-get update; \
        apt-get install --yes --no-install-recommends libgomp1; \
        rm -rf /var/lib/apt/lists/*; \
    fi
# Beside the program's folder, in lib/ollama, is where Ollama looks; what serves the CPU are the files there, each GPU
# library has a folder of its own (ollama/ollama, Dockerfile).
RUN --mount=type=bind,from=ollama,source=/usr,target=/mnt set -eu; \
    mkdir /usr/local/lib/ollama; \
    cp /mnt/bin/ollama /usr/local/bin/ollama; \
    find /mnt/lib/ollama -mindepth 1 -maxdepth 1 ! -type d -exec cp -a {} /usr/local/lib/ollama/ \;; \
    for folder in $OLLAMA_GPU; do cp -a "/mnt/lib/ollama/$folder" /usr/local/lib/ollama/; done

FROM engine AS model
USER 1000:1000
ENV HOME=/home/user
WORKDIR /home/user

# Empty for none: it is pulled at the start then. A cloud's model is not pulled, nor any where OLLAMA_HOST names
# another machine (a Space hands its variables in as build arguments).
ARG OLLAMA_MODEL=qwen3:4b
ARG OLLAMA_HOST=
ARG OLLAMA_BUILD_PORT=
# Some builders share the machine's network, where another Ollama may listen, and a pull would go there: hence a port
# that is free (OLLAMA_BUILD_PORT names one), and a server that must live as long as it is used. The key that a first
# start makes is not kept: it would be the same in every container.
# hadolint ignore=DL3001 # nothing else ends the server
RUN set -eu; \
    umask 002; \
    mkdir -p .ollama/models; \
    case "$OLLAMA_HOST" in ""|127.*|localhost*|0.0.0.0*|:*|http://127.*|http://localhost*) ;; *) exit 0;; esac; \
    case "$OLLAMA_MODEL" in ""|*:cloud|*-cloud) exit 0;; esac; \
    free='import socket, sys; print(socket.create_server(("127.0.0.1", int(sys.argv[1] or 0))).getsockname()[1])'; \
    port="$(python -c "$free" "$OLLAMA_BUILD_PORT")"; \
    export OLLAMA_HOST="127.0.0.1:$port"; \
    ollama serve >/tmp/ollama.log 2>&1 & server=$!; \
    trap 'cat /tmp/ollama.log; kill "$server"' EXIT; \
    for _ in $(seq 600); do \
        if ollama list >/dev/null 2>&1; then break; fi; \
        kill -0 "$server"; \
        sleep 0.1; \
    done; \
    kill -0 "$server"; \
    ollama pull "$OLLAMA_MODEL"; \
    ollama list "${OLLAMA_MODEL#library/}" >/tmp/list; \
    cat /tmp/list; \
    test "$(wc -l </tmp/list)" -gt 1; \
    trap - EXIT; \
    kill "$server"; \
    wait "$server"; \
    rm -f /tmp/list /tmp/ollama.log .ollama/id_ed25519*; \
    chmod -R g=u .ollama

FROM model AS space
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /app /app
WORKDIR /app

ENV OLLAMA_HOST=127.0.0.1:11434 \
    # Loading takes long on a CPU, and nothing else wants the memory: qwen3:4b with 8,192 tokens needs about 4 GB.
    OLLAMA_KEEP_ALIVE=-1 \
    OLLAMA_MAX_LOADED_MODELS=1 \
    OLLAMA_CONTEXT_LENGTH=8192 \
    OLLAMA_NOPRUNE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m CMD ["python", "-c", "import os, sys, http.client as http; \
c = http.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 7860), timeout=4); c.request('GET', '/health'); \
sys.exit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["./start.sh"]
