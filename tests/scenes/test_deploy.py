"""The files of examples/deploy: judged by those whose formats they are in, and what they run by the program itself."""

import http.client
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.support.program import Program, interpose, wait_until
from tests.support.small_origin import SmallOrigin

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
MANIFESTS = DEPLOY / "kubernetes"


def resources() -> list[dict[str, Any]]:
    """Every resource that the kustomization has."""
    files = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    return [resource for file in files for resource in yaml.safe_load_all((MANIFESTS / file).read_text())]


def of_kind(kind: str, name: str = "interpose") -> dict[str, Any]:
    """The one of this kind and name."""
    [found] = [one for one in resources() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_all_manifests_are_resources() -> None:
    files = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"])


@pytest.mark.parametrize("resource", resources(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_is_valid(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_what_is_selected_is_there() -> None:
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = of_kind(kind)["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        assert selector.get("matchLabels", selector).items() <= labels.items()
    [container] = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    names = {port["name"] for port in container["ports"]}
    probes = [container[key]["httpGet"]["port"] for key in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert {*probes, of_kind("Service")["spec"]["ports"][0]["targetPort"]} <= names


def test_the_pod_outlives_the_drain_of_what_it_runs(tmp_path: Path) -> None:
    text = of_kind("ConfigMap")["data"]["interpose.toml"]
    (tmp_path / "cache").write_text("k" * 32)
    file = tmp_path / "interpose.toml"
    file.write_text(text.replace("/etc/interpose/keys/cache", str(tmp_path / "cache")))
    checked = interpose("check", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")
    waits = [float(re.search(rf"{key} = (\d+)", text)[1]) for key in ("grace_s", "pre_drain_s")]  # type: ignore[index]
    assert of_kind("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > sum(waits)


def mounted(place: Path, text: str) -> Path:
    """`text` as the kubelet brings a ConfigMap into a pod: a link to a directory that is changed at once."""
    version = place / f"..{len(list(place.iterdir()))}"
    version.mkdir()
    (version / "interpose.toml").write_text(text)
    link = place / "..new"
    link.symlink_to(version.name)
    link.rename(place / "..data")
    file = place / "interpose.toml"
    if not file.is_symlink():
        file.symlink_to("..data/interpose.toml")
    return file


def got(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_f18_a_pod_takes_up_a_changed_config_map_and_ends_as_its_probes_expect(tmp_path: Path) -> None:
    """The manifests' own configuration and arguments, with addresses of this machine; the Redis is away."""
    (tmp_path / "config").mkdir()
    (tmp_path / "cache").write_text("k" * 32)
    text = of_kind("ConfigMap")["data"]["interpose.toml"]
    replaced = {
        "/etc/interpose/keys/cache": str(tmp_path / "cache"),
        "0.0.0.0:9464": "127.0.0.1:0",
        "0.0.0.0:8080": "127.0.0.1:0",
        "10.0.0.0/8": "127.0.0.0/8",
        "redis://redis:6379/0": f"unix://{tmp_path}/away",
        "pre_drain_s = 5": "pre_drain_s = 3",
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    [container] = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    probes = {key: container[key]["httpGet"]["path"] for key in ("readinessProbe", "livenessProbe")}
    options = [one for one in container["args"] if one.startswith("--") and one != "--log-format"]
    assert options == ["--watch"]
    with SmallOrigin("first") as first, SmallOrigin("second") as second:
        file = mounted(tmp_path / "config", text.replace("http://shop:80", first.address))
        with Program(tmp_path / "run", "run", str(file), *options, listeners=2) as program:
            [web] = [one["address"] for one in program.ready if one["role"] == "gateway"]
            [probed] = [one["address"] for one in program.ready if one["role"] == "metrics"]
            assert got(web, "/") == (200, b"first")
            assert {got(probed, path)[0] for path in probes.values()} == {200}
            mounted(tmp_path / "config", text.replace("http://shop:80", "shop"))
            program.says("the reload failed")
            assert got(web, "/") == (200, b"first")
            mounted(tmp_path / "config", text.replace("http://shop:80", second.address))
            wait_until(lambda: got(web, "/") == (200, b"second"), "the other ConfigMap takes effect")

            program.process.send_signal(signal.SIGTERM)
            wait_until(lambda: got(probed, probes["readinessProbe"])[0] == 503, "it is not ready")
            assert got(probed, probes["livenessProbe"])[0] == 200
            assert got(web, "/") == (200, b"second")
            assert program.process.wait(20) == 0


def test_the_unit_is_one_and_keeps_what_it_runs_in_a_box(tmp_path: Path) -> None:
    unit = tmp_path / "interpose.service"
    unit.write_text((DEPLOY / "interpose.service").read_text().replace("/opt/interpose/bin/interpose", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True, check=False
    )
    level = re.search(r"exposure level for interpose.service: ([\d.]+)", said.stdout)
    assert level is not None
    assert float(level[1]) < 2


def stages() -> list[list[tuple[str, str]]]:
    """Instructions of the Dockerfile and what they are told, by stage."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        instruction, _, told = line.partition(" ")
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, told))
    return found


def test_the_image_is_made_of_what_is_there_and_runs_without_root_and_compiler() -> None:
    build, last = stages()
    sources = [told.split()[:-1] for instruction, told in build if instruction == "COPY"]
    assert ["src"] in sources
    assert all((DEPLOY.parents[1] / name).exists() for names in sources for name in names)
    assert build[0][1].removesuffix(" AS build") == last[0][1]
    told = dict(last)
    assert told["USER"] == "10001:10001"
    assert told["COPY"] == "--from=build /opt/interpose /opt/interpose"
    assert not any(word in what for _, what in last for word in ("pip", "gcc"))
    assert (told["STOPSIGNAL"], told["ENTRYPOINT"]) == ("SIGTERM", '["interpose"]')
    command = json.loads(told["CMD"])
    known = interpose(command[0], "--help").stdout
    assert [word for word in command if word.startswith("--") and word not in known] == []


def test_the_image_s_health_check_tells_whether_it_runs(tmp_path: Path) -> None:
    check = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition(" CMD ")[2])
    assert check[0] == "interpose"
    with Program(tmp_path, "gateway", "127.0.0.1:9") as program:
        environment = {**os.environ, "INTERPOSE_STATE": str(program.state)}
        assert interpose(*check[1:], env=environment).returncode == 0
    assert interpose(*check[1:], env=environment).returncode != 0
