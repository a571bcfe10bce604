"""What deploy/ holds is what it says it is: files that parse, settings that are valid, names that something knows."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster_postgres.utils import get_conn_string
from sqlalchemy import make_url

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import load_settings
from dataset_assets_tests.cluster.nodes import ROOT

DEPLOY = ROOT / "deploy"
SETTINGS = sorted(DEPLOY.rglob("dataset.toml"))
PAGES = sorted(DEPLOY.rglob("README.md"))
OF_OTHERS = {  # environment variables, by who reads them
    "PGPASSWORD": "libpq",
    "AWS_ACCESS_KEY_ID": "botocore",
    "AWS_SECRET_ACCESS_KEY": "botocore",
    "AWS_DEFAULT_REGION": "botocore",
    "AWS_ENDPOINT_URL": "botocore",
    "DAGSTER_POSTGRES_URL": "deploy/ray/dagster.yaml",
    "POSTGRES_USER": "the image of PostgreSQL",
    "POSTGRES_DB": "the image of PostgreSQL",
    "POSTGRES_PASSWORD": "the image of PostgreSQL",
    "MINIO_ROOT_USER": "the image of MinIO",
    "MINIO_ROOT_PASSWORD": "the image of MinIO",
    "DATASET_CONFIG": "dataset_assets/settings/load.py",
    "DATASET_NODE": "dataset_assets/defs/partitions.py",
    "OPENROUTER_API_KEY": "dataset_assets/settings/captions.py",
    "DAGSTER_HOME": "dagster",
    "DAGSTER_EVENT_BATCH_SIZE": "dagster",
    "RAY_AUTH_MODE": "ray",
    "RAY_AUTH_TOKEN": "ray",
    "RAY_API_SERVER_ADDRESS": "ray",
    "RAY_USAGE_STATS_ENABLED": "ray",
    "RAY_JOB_START_TIMEOUT_SECONDS": "ray",
    "RAY_USE_TLS": "ray",
}
OURS = {
    "DATABASE_PASSWORD",
    "STORE_PASSWORD",
    "PHOTOGRAPHS",
    "RAY_AUTH_TOKEN",
    "OPENROUTER_API_KEY",
}  # of compose's .env


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.parent.name)
def test_the_settings_are_valid_and_make_a_graph(path: Path) -> None:
    settings = load_settings(path)

    jobs = {job.name: job for job in build_definitions(settings).get_repository_def().get_all_jobs()}

    assert settings.automation.separate_crops
    assert {"index", "crops", "partitions", "release"} <= jobs.keys()
    assert jobs["crops"].run_tags == settings.automation.tags_of("crops") != {}


def test_the_instance_of_a_ray_cluster_is_one_that_dagster_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql+psycopg2://u:secret@h/d")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "ray" / "dagster.yaml").read_text())

    said = InstanceRef.from_dir(str(tmp_path))

    launcher = said.run_launcher
    assert launcher is not None
    assert (launcher.address, launcher.num_cpus) == ("http://127.0.0.1:1", 1)  # type: ignore[attr-defined]
    assert said.settings["run_retries"] == {"enabled": True, "max_retries": 3}
    assert "secret@" not in dg.serialize_value(said)  # which stands in the command of every job


def test_crops_have_as_many_workers_as_cores() -> None:
    for path in (DEPLOY / "ray" / "dataset.toml", DEPLOY / "docker" / "dataset.toml"):
        settings = load_settings(path)
        assert settings.automation.tags_of("crops") == {
            "dagster-ray/config": f'{{"num_cpus": {settings.work.workers}}}'
        }


def test_what_the_containers_run_is_there() -> None:
    services = load("docker/compose.yaml")["services"]
    ours = {name: service for name, service in services.items() if service.get("image") == "dataset-assets"}

    assert set(ours) == {"bucket", "head", "worker", "daemon", "webserver"}
    for service in ours.values():
        program, *options = service["command"]
        assert program == "python" or (Path(sys.executable).parent / program).exists()
        assert find_spec(options[options.index("-m") + 1]) if "-m" in options else True
        assert set(service.get("depends_on", ())) <= set(services)
        assert "./dataset.toml:/opt/dataset/settings/dataset.toml:ro" in service["volumes"]
        assert not [one for one in service["volumes"] if one.startswith(".:")]  # .env and its passwords
    assert "127.0.0.1:3000:3000" in services["webserver"]["ports"]
    assert [name for name, service in services.items() if "ports" in service] == ["webserver"]


def test_images_of_others_are_pinned() -> None:
    named = [service["image"] for service in load("docker/compose.yaml")["services"].values()]
    named += re.findall(r"^FROM (\S+)", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    versions = dict(name.rsplit(":", 1) for name in named if name != "dataset-assets")

    patterns = {"python": r"\d+\.\d+\.\d+-", "postgres": r"\d+\.\d+-", "quay.io/minio/minio": r"RELEASE\.\d{4}-"}
    assert versions.keys() == patterns.keys()
    assert [name for name, pattern in patterns.items() if not re.match(pattern, versions[name])] == []


def test_the_database_is_healthy_when_the_one_of_dagster_is_there() -> None:
    _, program, *options = load("docker/compose.yaml")["services"]["database"]["healthcheck"]["test"]
    made = (DEPLOY / "docker" / "dagster.sql").read_text().removeprefix("CREATE DATABASE ").rstrip(";\n")

    assert program == "psql"  # pg_isready says yes to a database that is not there
    assert {"--host=127.0.0.1", f"--dbname={made}", "--command=SELECT 1"} <= set(options)


@pytest.mark.parametrize("command", [["ray", "start"], ["dagster-daemon", "run"], ["dagster-webserver"]], ids=" ".join)
def test_options_of_the_commands_are_there(command: list[str]) -> None:
    asked = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:], "--help"], capture_output=True, text=True, check=True
    )
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", asked.stdout))
    services = load("docker/compose.yaml")["services"].values()
    called = [one["command"] for one in services if one.get("command", [])[: len(command)] == command]
    called += [
        line.split()
        for page in PAGES
        for line in re.findall(rf"^(?:\w+=\S+ )?({' '.join(command)} .*)", page.read_text(), re.MULTILINE)
    ]

    assert called
    for call in called:
        options = [word.split("=")[0] for word in call[len(command) :] if word.startswith("-")]
        assert set(options) <= known, call


def test_variables_are_those_that_something_reads() -> None:
    texts = {path: path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
    pattern = r"\b(?:AWS|RAY|DAGSTER|DATASET|PG|POSTGRES|MINIO|OPENROUTER|STORE|DATABASE)_?[A-Z]+(?:_[A-Z]+)*\b"

    named = {name for text in texts.values() for name in re.findall(pattern, text)}

    assert named - OF_OTHERS.keys() - OURS == set()
    for name, reader in OF_OTHERS.items():
        assert name in named, name
        if (ROOT / reader).is_file():
            assert name in (ROOT / reader).read_text()
        elif reader in ("ray", "dagster", "botocore"):
            assert is_read_by(reader, name), name
    compose = texts[DEPLOY / "docker" / "compose.yaml"]
    assert set(re.findall(r"\$\{(\w+)", compose)) == OURS
    page = texts[DEPLOY / "docker" / "README.md"]
    assert all(name in page for name in OURS)


def is_read_by(package: str, name: str) -> bool:
    """Return whether a package's Python has a variable's name in it; botocore makes some of them from a prefix."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    wanted = name.removeprefix("AWS_").lower() if package == "botocore" else name
    folder = os.path.dirname(found.origin)  # noqa: PTH120
    call = ["grep", "--recursive", "--quiet", "--include=*.py", "--ignore-case", wanted, folder]
    return subprocess.run(call, check=False).returncode == 0


def test_what_the_image_copies_is_there() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()

    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()]

    assert len(copied) >= 5
    assert all((ROOT / path).exists() for path in copied)
    extras = set(re.findall(r"\[([\w,]+)\]'", text)[0].split(","))
    assert extras <= set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


def test_the_values_for_kubernetes_parse_and_name_what_the_page_makes() -> None:
    values, page = load("k8s/values.yaml"), (DEPLOY / "k8s" / "README.md").read_text()
    (code,) = values["dagster-user-deployments"]["deployments"]

    assert code["dagsterApiGrpcArgs"] == ["--module-name", "dataset_assets.definitions"]
    server = values["postgresql"]
    url = get_conn_string(
        server["postgresqlUsername"], "secret", server["postgresqlHost"], "d", scheme=server["postgresqlScheme"]
    )
    assert make_url(url).get_dialect().driver == "psycopg2"  # the other one fails in runs
    made = set(re.findall(r"(?:configmap|secret generic) ([\w-]+)", page))
    assert made == {
        values["global"]["postgresqlSecretName"],
        *(one["name"] for one in code["envSecrets"]),
        *(one["configMap"]["name"] for one in code["volumes"] if "configMap" in one),
    }
    settings = load_settings(DEPLOY / "k8s" / "dataset.toml")
    mounts = {one["mountPath"] for one in code["volumeMounts"]}
    assert settings.sources[0].path in mounts
    assert {str(Path(one["value"]).parent) for one in code["env"] if one["name"] == "DATASET_CONFIG"} <= mounts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path = link.partition("#")[0]
        assert "://" in link or not path or (page.parent / path).exists(), link
