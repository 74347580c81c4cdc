"""A process of a deployment as a container: its command line, environment, labels and limits. Pure."""

from __future__ import annotations

from paas.errors import DeployFailed
from paas.model.container import (
    KIND_PROCESS,
    LABEL_APP,
    LABEL_INDEX,
    LABEL_KIND,
    LABEL_RELEASE,
    LABEL_TYPE,
    ContainerSpec,
)  # fmt: skip
from paas.model.dockeroptions import DEPLOY, apply_options, options_for
from paas.model.healthcheck import Healthcheck, HealthcheckKind, HealthcheckType
from paas.model.probe import Probe, ProbeKind
from paas.model.process import ProcessId, command_line
from paas.model.resources import MIB, limits_of
from paas.paths import Paths
from paas.schedulers import LABEL_GENERATION, Deployment
from paas.settings import Settings


def container_spec(
    deployment: Deployment, process: ProcessId, *, entrypoint: tuple[str, ...], token: str, paths: Paths, settings: Settings
) -> ContainerSpec:
    """Return the container of one process. `token` makes its name unique among restarts. Raises DeployFailed."""
    app, release = deployment.app, deployment.release
    kind = release.process(process.type)
    if kind is None:
        raise DeployFailed(f"v{release.version} of {app.name} has no process type {process.type}")
    generation = deployment.generation_of(process)
    name = f"{app.name}.{process}.v{release.version}.g{generation}.{token}"
    spec = ContainerSpec(
        image=release.image,
        argv=command_line(kind, entrypoint, port=deployment.port_of(process.type)),
        tenant=app.tenant,
        name=name,
        hostname=str(process),
        env=environment(deployment, process),
        labels={
            LABEL_APP: app.name,
            LABEL_KIND: KIND_PROCESS,
            LABEL_RELEASE: str(release.version),
            LABEL_TYPE: process.type,
            LABEL_INDEX: str(process.index),
            LABEL_GENERATION: str(generation),
        },
        limits=limits_of(deployment.properties, process.type, settings),
        stop_timeout_s=float(deployment.properties.get("ps.stop-timeout-seconds", settings.stop_timeout_s)),
        log_path=paths.app_logs(app.name) / str(process) / f"{name}.log",
        log_max_bytes=settings.log_max_mb * MIB,
    )
    return apply_options(spec, options_for(deployment.properties, DEPLOY, process.type))


def environment(deployment: Deployment, process: ProcessId) -> dict[str, str]:
    """Return what the process sees: config vars, then what the platform knows better."""
    return {
        **deployment.release.config,
        "PORT": str(deployment.port_of(process.type)),
        "DYNO": str(process),
        "PAAS_APP": deployment.app.name,
        "PAAS_PROCESS": str(process),
        "PAAS_PROCESS_TYPE": process.type,
        "PAAS_RELEASE": f"v{deployment.release.version}",
    }


def checks_for(deployment: Deployment, process: ProcessId) -> tuple[Healthcheck, ...]:
    """Return the checks that a new process must pass before it serves: ready means that requests may come."""
    return deployment.checks_of(process.type, HealthcheckType.STARTUP, HealthcheckType.READINESS)


def probe_for(deployment: Deployment, process: ProcessId, settings: Settings) -> Probe | None:
    """Return how we know that the process is ready: what is routed listens on $PORT, the rest stays up for a moment.

    None when startup checks of its own say the same. A command that passes at once does not: the process may be about to end.
    """
    own = {c.kind for c in deployment.checks_of(process.type, HealthcheckType.STARTUP) if not c.is_warning}
    is_routed = bool(deployment.routed_ports(process.type))
    if own & ({HealthcheckKind.PATH, HealthcheckKind.LISTENING} if is_routed else {HealthcheckKind.UPTIME}):
        return None
    timeout_s = float(deployment.properties.get("checks.timeout", settings.check_timeout_s))
    if is_routed:
        return Probe(kind=ProbeKind.LISTENING, port=deployment.port_of(process.type), timeout_s=timeout_s)
    return Probe(kind=ProbeKind.UPTIME, uptime_s=settings.worker_grace_s, timeout_s=timeout_s)
