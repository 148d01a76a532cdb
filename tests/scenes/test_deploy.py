"""The files of examples/deploy: judged by those whose formats they are in, and what they run by the program itself."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.support.program import interpose

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


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    sources = [line.split()[1:-1] for line in lines if line.startswith("COPY") and "--from" not in line]
    assert all((DEPLOY.parents[1] / name).exists() for names in sources for name in names)
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001:10001" in last
    assert not any("pip" in line for line in last)
