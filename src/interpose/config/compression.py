"""From the `compression` tables to the filter of a route."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from interpose.config.cache_model import Cache
from interpose.config.caches import keeper_of
from interpose.config.model import Config, Listener, Route
from interpose.config.parts import Parts
from interpose.core.handler import Filter

if TYPE_CHECKING:
    from interpose.filters.compression.options import CompressionOptions


def options_for(listener: Listener, route: Route | None) -> CompressionOptions | None:
    """How answers of a route of a listener are compressed; None when they are not."""
    options = (route.compression if route is not None else None) or listener.compression
    return options if options is not None and options.codings else None


def in_words(options: CompressionOptions, *, reads: bool) -> str:
    """What `interpose check` shows. `reads`: other filters of the route read contents."""
    levels = {"gzip": options.gzip_level, "br": options.br_level, "zstd": options.zstd_level}
    codings = ", ".join([f"{coding} {levels[coding]}" for coding in options.codings])
    plain = ", plain from servers" if reads or options.plain_upstream else ""
    return f"{codings}; {options.min_bytes} bytes or more{plain}"


def compression_filter(
    config: Config, options: CompressionOptions, cache: Cache | None, parts: Parts, *, reads: bool
) -> Filter:
    """The filter. What it has compressed of what `cache` keeps, that keeps as well."""
    # Who compresses nothing need not have the libraries in memory.
    from interpose.filters.compression.filter import Compression
    from interpose.filters.compression.variants import Variants

    variants = None
    if cache is not None:
        rules = [rule for route in config.routes for rule in route.cache_rules]
        tags = tuple([name.lower().encode("ascii", "replace") for name in cache.tag_fields])
        variants = Variants(keeper_of(cache, parts, rules).store, time.time, tags)
    return Compression(options, variants, plain_upstream=reads)
