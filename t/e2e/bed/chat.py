"""chat.py: a WebSocket server that sends back what comes."""
import asyncio
import threading

import websockets


class Server:
    """A WebSocket server in a thread of its own."""

    def __init__(self):
        self.ready, self.loop = threading.Event(), asyncio.new_event_loop()
        self.closed = []
        threading.Thread(target=self.run, daemon=True).start()
        assert self.ready.wait(5)

    async def talk(self, ws):
        try:
            async for message in ws:
                if message == "close 4001":
                    await ws.close(4001, "as asked")
                elif message == "stream":
                    for n in range(5):
                        await ws.send(f"event {n}")
                else:
                    await ws.send(message)
        except websockets.ConnectionClosed:
            pass
        self.closed.append((ws.close_code, ws.close_reason))

    def run(self):
        asyncio.set_event_loop(self.loop)

        async def serve():
            server = await websockets.serve(self.talk, "127.0.0.1", 0, max_size=None, ping_interval=None, subprotocols=["chat"])
            self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
            self.ready.set()
        self.loop.run_until_complete(serve())
        self.loop.run_forever()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)

    def logs(self):
        return {}
