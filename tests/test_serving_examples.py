"""examples/serving says in YAML what `serving-config` writes and prints."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from keras_seqzoo.serving import config, protocol

yaml = pytest.importorskip("yaml")

FOLDER = Path(__file__).parents[1] / "examples" / "serving"
REPOSITORY = FOLDER.parents[1]
PORTS = ["--port=8500", "--rest_api_port=8501"]


@pytest.fixture(scope="module")
def service() -> Any:
    """The one service of compose.yaml, its variables at their defaults."""
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)
    assert "$" not in text
    return yaml.safe_load(text)["services"]["serving"]


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    """The documents of kubernetes.yaml by their kind, of which there is one each."""
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return by_kind


@pytest.fixture(scope="module")
def pod(manifests: dict[str, Any]) -> Any:
    return manifests["Deployment"]["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (only,) = pod["spec"]["containers"]
    return only


def test_the_image_is_the_same_everywhere(service: Any, container: Any) -> None:
    assert service["image"] == container["image"] == config.IMAGE
    mentioned = {
        tag
        for path in (*FOLDER.iterdir(), *(REPOSITORY / "docs").rglob("*.md"))
        for tag in re.findall(r"tensorflow/serving:[\w.-]+", path.read_text(encoding="utf-8"))
    }
    assert mentioned == {config.IMAGE}


def test_the_flags_are_those_that_the_command_prints(service: Any, container: Any) -> None:
    cores = int(service["cpus"])
    assert service["command"] == [*PORTS, *config.server_flags("/config", cores)]
    cores = int(container["resources"]["limits"]["cpu"])
    assert container["args"] == [*PORTS, *config.server_flags("/config", cores)]
    assert service["entrypoint"] == container["command"] == ["/usr/bin/tensorflow_model_server"]


def test_compose_mounts_what_the_command_writes(service: Any) -> None:
    mounts = {volume["target"]: volume for volume in service["volumes"]}
    assert all(volume["read_only"] for volume in mounts.values())
    source = (FOLDER / mounts["/models"]["source"]).resolve()
    assert source == REPOSITORY / "saved_models"
    assert (FOLDER / mounts["/config"]["source"]).resolve() == source / "serving"


def test_compose_serves_this_host_alone(service: Any) -> None:
    assert [port.split(":")[0] for port in service["ports"]] == ["127.0.0.1"] * 2
    assert service["read_only"]
    assert not service["user"].startswith(("0", "root"))


def test_the_configmap_is_what_the_command_writes(manifests: dict[str, Any]) -> None:
    data = manifests["ConfigMap"]["data"]
    reviews = config.ServedModel("reviews", Path("reviews"), (1,))
    assert data == {
        "models.config": config.models_config([reviews], "/models", {"reviews": {"stable": 1}}),
        "batching.config": config.batching_config(2),
        "monitoring.config": config.monitoring_config(),
    }
    text_format.Parse(data["batching.config"], protocol.BatchingParameters())
    text_format.Parse(data["monitoring.config"], protocol.MonitoringConfig())
    official = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    served = text_format.Parse(data["models.config"], official.ModelServerConfig())
    assert served.model_config_list.config[0].version_labels["stable"] == 1


def test_what_kubernetes_names_is_there(
    manifests: dict[str, Any], pod: Any, container: Any
) -> None:
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    claim = volumes[mounts["/models"]["name"]]["persistentVolumeClaim"]
    assert claim["claimName"] == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    assert claim["readOnly"]
    assert mounts["/models"]["readOnly"]
    configuration = volumes[mounts["/config"]["name"]]["configMap"]
    assert configuration["name"] == manifests["ConfigMap"]["metadata"]["name"]
    # A single file, by subPath, would not follow the ConfigMap.
    assert "subPath" not in mounts["/config"]
    labels = pod["metadata"]["labels"]
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == manifests["Deployment"]["metadata"]["name"]
    assert "replicas" not in manifests["Deployment"]["spec"]


def test_ports_and_probes_fit_the_flags(
    manifests: dict[str, Any], pod: Any, container: Any
) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {f"--port={ports['grpc']}", f"--rest_api_port={ports['rest']}"} <= set(container["args"])
    (served,) = manifests["Service"]["spec"]["ports"]
    (open_,) = manifests["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert served["targetPort"] == open_["port"] == "rest"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/v1/models/reviews", "port": "rest"}
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    monitoring = text_format.Parse(
        manifests["ConfigMap"]["data"]["monitoring.config"], protocol.MonitoringConfig()
    )
    assert annotations["prometheus.io/path"] == monitoring.prometheus_config.path


def test_the_pod_has_no_rights(pod: Any, container: Any) -> None:
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["spec"]["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod["spec"]["automountServiceAccountToken"]
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > int(container["lifecycle"]["preStop"]["exec"]["command"][1])


def test_the_readme_s_options_and_files_exist() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for linked in re.findall(r"\]\((?!http)([^)]+)\)", readme):
        assert (FOLDER / linked).is_file()
    for named in re.findall(r"pytest (tests/\S+\.py)", readme):
        assert (REPOSITORY / named).is_file()
    labels = re.findall(r"--label\s+(\S+=\d+)", readme)
    assert labels
    for label in labels:
        config.parse_labels([label])


@pytest.fixture
def status() -> Iterator[dict[str, Any]]:
    """A server that gives the status of `reviews` in TensorFlow Serving's words, on `port`."""
    states: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v1/models/reviews"
            body: dict[str, Any] = {"error": "Malformed request"}
            if known:
                body = {
                    "model_version_status": [
                        {
                            "version": version,
                            "state": state,
                            "status": {"error_code": "OK", "error_message": ""},
                        }
                        for version, state in states["versions"].items()
                    ]
                }
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(body, indent=1).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    states["port"] = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield states
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_health_check_tells_a_loaded_version(service: Any, status: dict[str, Any]) -> None:
    kind, *check = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert "/8501 " in check[-1]

    def healthy(port: int) -> bool:
        here = [word.replace("/8501 ", f"/{port} ") for word in check]
        return subprocess.run(here, capture_output=True, timeout=60, check=False).returncode == 0

    status["versions"] = {"1": "AVAILABLE"}
    assert healthy(status["port"])
    status["versions"] = {"2": "LOADING", "1": "AVAILABLE"}
    assert healthy(status["port"])
    status["versions"] = {"1": "LOADING"}
    assert not healthy(status["port"])
    status["versions"] = {"1": "END"}
    assert not healthy(status["port"])
    with socket.socket() as silent:  # bound, so that nobody else listens there
        silent.bind(("127.0.0.1", 0))
        assert not healthy(silent.getsockname()[1])
