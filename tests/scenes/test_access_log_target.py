"""F27: whatever the access log's target does, traffic goes on."""

import asyncio
import os
import signal
from pathlib import Path

import interpose
from interpose.config.model import Answer, Config, Listener, Log, Route

REQUESTS = 400


def config(target: Path) -> Config:
    return Config(
        log=Log(access=str(target)),
        listeners=(Listener(name="gateway", address="127.0.0.1:0", role="gateway"),),
        routes=(Route(name="all", answer=Answer(text="hello")),),
    )


async def ask(address: str, requests: int) -> float:
    """Make requests on one connection; the longest that one of them took."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    loop = asyncio.get_running_loop()
    longest = 0.0
    for _ in range(requests):
        started = loop.time()
        writer.write(b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: " + b"x" * 500 + b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(5) == b"hello"
        longest = max(longest, loop.time() - started)
    writer.close()
    await writer.wait_closed()
    return longest


async def test_f27_a_stopped_reader_of_the_log_s_pipe_holds_nobody_up(tmp_path: Path) -> None:
    pipe, copy = tmp_path / "pipe", tmp_path / "copy"
    os.mkfifo(pipe)
    with copy.open("wb") as out:
        cat = await asyncio.create_subprocess_exec("cat", str(pipe), stdout=out)
    try:
        async with interpose.serve(config(pipe)) as running:
            await ask(running.addresses["gateway"], 10)
            cat.send_signal(signal.SIGSTOP)
            assert await ask(running.addresses["gateway"], REQUESTS) < 1.0  # 200 KB of lines, the pipe takes 64
            cat.send_signal(signal.SIGCONT)
        await asyncio.wait_for(cat.wait(), 10)
    finally:
        if cat.returncode is None:
            cat.kill()
            await cat.wait()
    lines = copy.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == 10 + REQUESTS
    assert all(line.startswith(b"127.0.0.1 - - [") and line.endswith(b'x"') for line in lines)


async def test_f27_after_a_rotation_the_new_file_is_written(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with interpose.serve(config(log)) as running:
        await ask(running.addresses["gateway"], 3)
        async with asyncio.timeout(5):
            while log.read_bytes().count(b"\n") < 3:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        log.rename(tmp_path / "access.log.1")
        running._runtime.reopen_logs()
        await ask(running.addresses["gateway"], 2)
    assert (tmp_path / "access.log.1").read_bytes().count(b"\n") == 3
    assert log.read_bytes().count(b"\n") == 2
