"""Every experiment, in the order in which they build on each other."""

from __future__ import annotations

from interpose.lab.experiment import Experiment
from interpose.lab.experiments import (
    backpressure,
    borders,
    end_of_stream,
    half_close,
    head_of_line,
    keep_alive,
    many_at_once,
    ports,
    proxied_request,
    reuse_address,
    tcp_socket,
    tcp_too_early,
    two_sockets,
    udp_sessions,
    udp_too_early,
    who_is_there,
    wrong_port,
)

EXPERIMENTS: tuple[Experiment, ...] = (
    tcp_socket.EXPERIMENT,
    two_sockets.EXPERIMENT,
    reuse_address.EXPERIMENT,
    who_is_there.EXPERIMENT,
    ports.EXPERIMENT,
    end_of_stream.EXPERIMENT,
    borders.EXPERIMENT,
    tcp_too_early.EXPERIMENT,
    udp_too_early.EXPERIMENT,
    wrong_port.EXPERIMENT,
    half_close.EXPERIMENT,
    backpressure.EXPERIMENT,
    many_at_once.EXPERIMENT,
    proxied_request.EXPERIMENT,
    keep_alive.EXPERIMENT,
    head_of_line.EXPERIMENT,
    udp_sessions.EXPERIMENT,
)


def named(name: str) -> Experiment | None:
    """The experiment of that name."""
    return next((experiment for experiment in EXPERIMENTS if experiment.name == name), None)
