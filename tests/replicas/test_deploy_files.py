"""What is needed to run several replicas fits together, and is what Kubernetes takes."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ollama_backend.formats import parse_duration
from ollama_backend.settings import Settings, load, variables

pytestmark = pytest.mark.in_process

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
NGINX = (DEPLOY / "nginx.conf").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.scale.yaml").read_text())["services"]
OBJECTS: dict[str, dict[str, Any]] = {
    f"{found['kind']}/{found['metadata']['name']}": found
    for file in KUSTOMIZATION["resources"]
    for found in yaml.safe_load_all((DEPLOY / file).read_text())
}
SCALED = yaml.safe_load((DEPLOY / "kubernetes/keda/scaled-object.yaml").read_text())["spec"]
KEY = {"OLLAMA_API_KEY": "key"}


def pod(name: str) -> dict[str, Any]:
    """The specification of the pods of a Deployment or a StatefulSet."""
    found: dict[str, Any] = OBJECTS[name]["spec"]["template"]["spec"]
    return found


def environment(name: str) -> dict[str, str]:
    """The plain variables of the only container of a pod."""
    return {variable["name"]: variable.get("value", "") for variable in pod(name)["containers"][0]["env"]}


def settings_of_kubernetes() -> Settings:
    """The settings of a replica in Kubernetes."""
    return load(environment("Deployment/app") | KEY)


def settings_of_compose() -> Settings:
    """The settings of a replica in the compose file."""
    given = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in COMPOSE["app"]["environment"].items()}
    assert set(given) <= {field.metadata["name"] for field in variables()}
    return load(given | KEY)


@pytest.mark.parametrize("name", OBJECTS)
def test_kubernetes_takes_every_object(name: str) -> None:
    """Each is valid by the schema of its kind, without unknown fields."""
    kubernetes_validate.validate(OBJECTS[name], kubernetes_validate.latest_version(), strict=True)


def test_every_file_is_used() -> None:
    """Kustomize is given every file that is there."""
    files = {f"kubernetes/{file.name}" for file in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(KUSTOMIZATION["resources"]) == files
    assert KUSTOMIZATION["configMapGenerator"][0]["files"] == ["default.conf.template=nginx.conf"]


@pytest.mark.parametrize("name", ["Deployment/app", "Deployment/front", "Deployment/redis", "StatefulSet/ollama"])
def test_pods_may_do_little(name: str) -> None:
    """No root, no privilege, no token of the cluster, and as much memory as is said."""
    of_pod, container = pod(name), pod(name)["containers"][0]
    assert of_pod["securityContext"]["runAsNonRoot"] and not of_pod["automountServiceAccountToken"]
    assert of_pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert "memory" in container["resources"]["limits"] and "readinessProbe" in container


def test_the_app_finds_its_ollamas() -> None:
    """In both places each host of OLLAMA_HOST runs or may be added, with as many places as it has slots."""
    hosts = settings_of_kubernetes().host_places
    slots = int(environment("StatefulSet/ollama")["OLLAMA_NUM_PARALLEL"])
    assert list(hosts) == [(f"http://ollama-{n}.ollama:11434", slots) for n in range(SCALED["maxReplicaCount"])]
    assert SCALED["minReplicaCount"] == OBJECTS["StatefulSet/ollama"]["spec"]["replicas"]
    services = [name for name in COMPOSE if name.startswith("ollama-")]
    slots = COMPOSE[services[0]]["environment"]["OLLAMA_NUM_PARALLEL"]
    assert list(settings_of_compose().host_places) == [(f"http://{name}:11434", 2) for name in services]
    assert slots == "${OLLAMA_NUM_PARALLEL:-2}" and len(services) == 2


def test_the_app_finds_redis() -> None:
    """In both places, and Redis never evicts anything."""
    assert settings_of_kubernetes().redis_url == settings_of_compose().redis_url == "redis://redis:6379/0"
    assert "Service/redis" in OBJECTS and COMPOSE["app"]["deploy"]["replicas"] == 3
    arguments = pod("Deployment/redis")["containers"][0]["args"]
    assert " ".join(argument or '""' for argument in arguments) == COMPOSE["redis"]["command"]
    assert "noeviction" in arguments


def test_running_answers_may_end() -> None:
    """TERM is followed by KILL only after the hook and the longest wait of the app."""
    app = pod("Deployment/app")
    hook = app["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert app["terminationGracePeriodSeconds"] >= hook + settings_of_kubernetes().shutdown_timeout + 5
    assert parse_duration(COMPOSE["app"]["stop_grace_period"]) >= settings_of_compose().shutdown_timeout + 5


def test_nginx_gets_what_its_template_needs() -> None:
    """Every variable of the template is set in both places, and the proxies in front are counted."""
    needed = set(re.findall(r"\$\{(\w+)\}", NGINX))
    assert needed == {"REPLICAS", "NGINX_LOCAL_RESOLVERS"}
    for given in (environment("Deployment/front"), COMPOSE["front"]["environment"]):
        assert given["NGINX_ENTRYPOINT_LOCAL_RESOLVERS"] == "yes" and given["REPLICAS"].endswith(":7860")
    assert OBJECTS["Service/app"]["spec"]["clusterIP"] == "None"
    assert (settings_of_kubernetes().trusted_proxies, settings_of_compose().trusted_proxies) == (2, 1)
    images = {pod("Deployment/front")["containers"][0]["image"], COMPOSE["front"]["image"]}
    assert (
        len(images) == 1 and f"listen {pod('Deployment/front')['containers'][0]['ports'][0]['containerPort']};" in NGINX
    )


def test_more_ollamas_come_by_a_figure_that_is_there() -> None:
    """KEDA scales the StatefulSet by a metric that `/metrics` has."""
    assert SCALED["scaleTargetRef"] == {"kind": "StatefulSet", "name": "ollama"}
    metric = re.search(r"sum\((\w+)\{line=\"generations\"\}\)", SCALED["triggers"][0]["metadata"]["query"])
    assert metric and f'"{metric[1]}"' in (ROOT / "ollama_backend/surfaces/metrics.py").read_text()
