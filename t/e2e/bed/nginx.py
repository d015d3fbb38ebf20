"""nginx.py: a real nginx as a back-end, on loopback. NGINX names the program where it is not installed."""
import os
import shutil
import signal
import subprocess

import pytest

from . import client, wait
from .backend import FolderServer

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 512; }}
http {{
	access_log {folder}/access.log;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	client_max_body_size 0;
	keepalive_requests 100000;
	server {{
		listen 127.0.0.1:{port};
		location / {{ proxy_pass http://unix:{folder}/inner.sock; }}
		location /files/ {{ alias {folder}/files/; }}
	}}
	server {{ # asked when a body is whole: "return" answers before it has read one
		listen unix:{folder}/inner.sock;
		access_log off;
		location / {{ return 200 "$request_method $request_uri $content_length\\n"; }}
	}}
}}
"""


class Nginx(FolderServer):
    """Answers with the request's method, target and length; /files/ is a folder."""

    NAME, LOGS, ENDS = "nginx", ("start.log", "error.log", "access.log"), signal.SIGQUIT

    def __init__(self, folder):
        self.folder = str(folder)
        self.binary = os.environ.get("NGINX") or shutil.which("nginx", path="/usr/sbin:/usr/bin")
        if not self.binary:
            pytest.skip("no nginx here: ./dev check unpacks it, NGINX names it")
        os.makedirs(f"{self.folder}/files", exist_ok=True)
        self.log = open(f"{self.folder}/start.log", "wb")
        for _ in range(20):
            if self.start():
                return
        raise AssertionError("nginx did not start: " + self.logs()["nginx"])

    def start(self):
        self.port = wait.free_port()
        self.address = f"127.0.0.1:{self.port}"
        with open(f"{self.folder}/nginx.conf", "w", encoding="ascii") as f:
            f.write(CONFIG.format(folder=self.folder, port=self.port))
        self.process = subprocess.Popen([self.binary, "-p", self.folder, "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log"],
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True)
        wait.until(lambda: self.process.poll() is not None or client.curl(f"http://{self.address}/")[0] == 0, 15, "nginx answers or ends")
        return self.process.poll() is None
