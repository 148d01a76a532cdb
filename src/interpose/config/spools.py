"""Spools and sinks, made from a configuration."""

from __future__ import annotations

import sys
from functools import partial

from interpose.config.build import Means
from interpose.config.kinds import idle_end_s
from interpose.config.model import Config, Listener
from interpose.config.progress import Bars
from interpose.core.target import Origin
from interpose.engine.conversations import Serve
from interpose.engine.courier import Courier
from interpose.engine.sink import Sink
from interpose.engine.spool import Spooling
from interpose.engine.spool_options import SpoolOptions
from interpose.engine.spool_reaper import Reaper
from interpose.engine.spool_reception import Reception, Terms
from interpose.engine.spool_sender import Errand
from interpose.engine.spool_work import UNSEEN, Meter, Tasks, Threads
from interpose.storage.spool import Spool
from interpose.storage.spool_item import State


def sink_of(listener: Listener, means: Means) -> Serve:
    """Stores what comes and answers. ValueError, a sentence, when its directory cannot be used."""
    options = _options(listener)
    spool = _spool(options)
    threads = means.parts.get(Threads, options.dir, Threads)
    means.parts.get(Reaper, options.dir, lambda: Reaper(spool, None, threads))
    terms = Terms(
        State.CONFIRMED,
        "kept here",
        idle_end_s=idle_end_s(options.end),
        max_file_bytes=options.max_file_bytes,
    )
    return Sink(spool, Reception(spool, terms, threads, _meter(means)), means.parts.get(Tasks, options.dir, Tasks))


def spool_of(config: Config, listener: Listener, means: Means, server: Origin) -> Serve:
    """Stores what comes and sends it to `server`. ValueError, a sentence, when its directory cannot be used."""
    options = _options(listener)
    spool, meter = _spool(options), _meter(means)
    threads = means.parts.get(Threads, options.dir, Threads)
    keep_s = options.keep_s or None
    means.parts.get(Reaper, (options.dir, keep_s), lambda: Reaper(spool, keep_s, threads))
    terms = Terms(
        State.HELD if options.hold else State.RECEIVED,
        "held by --hold" if options.hold else "",
        options.delay_s,
        idle_end_s(options.end),
        options.max_file_bytes,
    )
    errand = Errand(server, means.dial_for(config, listener), options, idle_end_s(options.end))
    upstreams = tuple(upstream for upstream in config.upstreams if upstream.name == listener.upstream)
    key = (listener.name, options, server, upstreams, config.dns, config.connections)
    courier = means.parts.get(Courier, key, partial(Courier, spool, errand, threads, meter))
    return Spooling(Reception(spool, terms, threads, meter), courier, means.parts.get(Tasks, options.dir, Tasks))


def _options(listener: Listener) -> SpoolOptions:
    assert listener.spool is not None  # a rule of the configuration
    return listener.spool


def _spool(options: SpoolOptions) -> Spool:
    spool = Spool(options.dir)
    try:
        spool.prepare()
    except OSError as error:
        raise ValueError(
            f"{options.dir}: no files can be kept here: {(error.strerror or str(error)).lower()}"
        ) from None
    return spool


def _meter(means: Means) -> Meter:
    """Progress bars, where somebody is at the terminal to see them."""
    return means.parts.get(Bars, "", Bars) if sys.stderr is not None and sys.stderr.isatty() else UNSEEN
