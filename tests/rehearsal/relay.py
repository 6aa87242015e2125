"""TCP relays: one that ends TLS in front of what speaks plain HTTP, one that deals connections out in turn."""

import asyncio
import itertools
import threading


class Relay:
    """Listens on `host` and hands each connection to the next of `targets`, byte for byte."""

    def __init__(self, host, port, targets, tls=None):
        self.targets = targets
        self.accepted = []
        self._turn = itertools.count()
        self._ready = threading.Event()
        arguments = (host, port, tls)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()
        if not self._ready.wait(30):
            raise AssertionError(f"no relay at port {port}")

    def _run(self, host, port, tls):
        host.enter()
        asyncio.run(self._serve(port, tls))

    async def _serve(self, port, tls):
        async with await asyncio.start_server(self._relay, "0.0.0.0", port, ssl=tls, backlog=512) as server:
            self._ready.set()
            await server.serve_forever()

    async def _relay(self, client_reader, client_writer):
        self.accepted.append(client_writer.get_extra_info("sockname")[0])
        target = self.targets[next(self._turn) % len(self.targets)]
        try:
            server_reader, server_writer = await asyncio.open_connection(*target)
        except OSError:
            client_writer.transport.abort()
            return
        ways = [
            asyncio.ensure_future(copy(client_reader, server_writer)),
            asyncio.ensure_future(copy(server_reader, client_writer)),
        ]
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        broken = any(way.exception() for way in done)
        for writer in (client_writer, server_writer):
            # A connection that broke off must not look as if it had ended.
            if broken:
                writer.transport.abort()
            else:
                writer.close()
        await asyncio.gather(*ways, return_exceptions=True)


async def copy(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
