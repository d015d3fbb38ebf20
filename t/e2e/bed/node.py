"""node.py: Node's clients and servers, and the scripts of t/e2e/node that use them."""
import fcntl
import json
import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = f"{HERE}/../node"


class Node:
    """The packages of t/e2e/node/package.json, installed into the build folder by npm from the registry that is configured."""

    def __init__(self, build):
        self.folder = f"{build}/node-peers"
        os.makedirs(self.folder, exist_ok=True)
        for tool in ("node", "npm"):
            assert shutil.which(tool), f"no {tool} here: apt-get install nodejs npm"
        with open(f"{self.folder}/lock", "w", encoding="ascii") as lock:  # files of tests run beside each other
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.install()

    def install(self):
        with open(f"{SCRIPTS}/package.json", encoding="utf-8") as f:
            names = json.load(f)["dependencies"]
        if not all(self.version(name) == version for name, version in names.items()):
            shutil.copy(f"{SCRIPTS}/package.json", self.folder)
            got = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"],
                                 cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)
            if got.returncode:  # a registry that is out of reach says nothing about what is tested
                pytest.skip(f"npm cannot fetch {', '.join(names)}: {got.stderr.strip().splitlines()[-1:]}")

    def version(self, name):
        try:
            with open(f"{self.folder}/node_modules/{name}/package.json", encoding="utf-8") as f:
                return json.load(f)["version"]
        except OSError:
            return None

    def words(self, script, options):
        return ["node", f"{SCRIPTS}/{script}", json.dumps(options)], {**os.environ, "NODE_PATH": f"{self.folder}/node_modules"}

    def run(self, script, timeout=60, **options):
        """The script's report: what it printed before its last line, "good"."""
        argv, env = self.words(script, options)
        got = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        assert got.returncode == 0 and got.stdout.endswith("good\n"), f"{options}: {got.stdout}{got.stderr}"
        return got.stdout[:-len("good\n")]

    def start(self, script, **options):
        """A script that prints one line when it is ready, and goes on until its standard input ends."""
        argv, env = self.words(script, options)
        return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
