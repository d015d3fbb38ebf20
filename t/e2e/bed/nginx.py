"""nginx.py: a real nginx as a back-end, on loopback. NGINX names the program where it is not installed."""
import os
import shutil
import signal
import subprocess

import pytest

from . import client, wait

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


class Nginx:
    """Answers with the request's method, target and length; /files/ is a folder."""

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

    def file(self, name, data):
        with open(f"{self.folder}/files/{name}", "wb") as f:
            f.write(data)

    def said(self):
        """The lines of its access log."""
        with open(f"{self.folder}/access.log", encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.log.close()

    def logs(self):
        out = ""
        for name in ("start.log", "error.log", "access.log"):
            try:
                with open(f"{self.folder}/{name}", encoding="utf-8", errors="replace") as f:
                    out += f.read()[-3000:]
            except OSError:
                pass
        return {"nginx": out}
