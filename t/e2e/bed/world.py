"""world.py: what one test, or one demonstration, has running."""
import itertools
import os

from . import backend, conftext, gateway, nginx


class Bed:
    """What one test (or one module) has running. Everything stops, in reverse order, with it."""

    numbers = itertools.count(1)

    def __init__(self, build, run_folder, pki):
        self.build, self.pki = build, pki
        self.folder = f"{run_folder}/{next(self.numbers)}"
        os.mkdir(self.folder, 0o711)
        self.running = []

    def backend(self, *a, **k):
        self.running.append(b := backend.Backend(*a, **k))
        return b

    def apache(self, **more):
        folder = f"{self.folder}/apache{len(self.running)}"
        os.mkdir(folder, 0o711)
        self.running.append(a := backend.Apache(folder, **more))
        return a

    def nginx(self):
        folder = f"{self.folder}/nginx{len(self.running)}"
        os.mkdir(folder, 0o711)
        self.running.append(n := nginx.Nginx(folder))
        return n

    def site(self, *names, kinds=("rsa", "ec"), pool="main", **more):
        names = names or ("localhost",)
        leaves = [self.pki.leaf(*names, kind=k) for k in kinds]
        return conftext.merged({"names": list(names), "certificates": [x.chain_file for x in leaves],
                                "routes": [{"path": "/", "pool": pool}]}, more)

    def settings(self, *backends, sites=None, **more):
        """The usual configuration: one TLS listener, site localhost with both kinds of key, one pool."""
        pools = [{"name": "main", "servers": [{"address": b if isinstance(b, str) else b.address} for b in backends]}]
        sites = sites or [self.site()]
        keys = dict.fromkeys(self.pki.keys[c] for s in sites for c in s["certificates"])
        return conftext.merged({
            "workers": 2,
            "listeners": [{"address": "127.0.0.1:0"}],
            "sites": sites,
            "pools": pools,
            "private_keys": list(keys),
            "access_log": {"file": f"{self.folder}/gateway.access", "format": "combined"},
            "runtime_dir": f"{self.folder}/run",
            "state_dir": f"{self.folder}/state",
        }, more)

    def gateway(self, settings, start=True, build=None, env=None, name="gateway", argv=None):
        for folder, mode in (("run", 0o711), ("state", 0o700)):
            os.makedirs(f"{self.folder}/{folder}", mode=mode, exist_ok=True)
        g = gateway.Gateway(build or self.build, self.folder, settings, env, name, argv)
        g.access_file = f"{self.folder}/gateway.access"
        self.running.append(g)
        return g.start() if start else g

    def logs(self):
        out = {}
        for thing in self.running:
            try:
                out.update(thing.logs())
            except OSError as error:
                out[repr(thing)] = repr(error)
        return out

    def stop(self):
        problems = []
        for thing in reversed(self.running):
            try:
                thing.stop()
            except AssertionError as error:
                problems.append(str(error))
        self.running.clear()
        assert not problems, "\n".join(problems)
