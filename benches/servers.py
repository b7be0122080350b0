"""The two servers that are measured: starts them, reads the processor time that they used, stops them.

Both serve the same inode: nginx's root is the folder that imagedepot publishes into.
"""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

PASSWORD = "measured-and-thrown-away"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """Makes a self-signed ECDSA P-256 certificate for both servers."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key


class ClientAuthority:
    """An authority with an empty revocation list, and a client's certificate and key in one file, as ab expects it."""

    def __init__(self, folder):
        self.file, self.crl, self.client = folder / "clients-ca.pem", folder / "clients.crl", folder / "client.pem"
        key, request, client_key = folder / "clients-ca.key", folder / "client.csr", folder / "client.key"
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        settings, extensions = folder / "ca.cnf", folder / "client.ext"
        (folder / "ca-index").touch()
        (folder / "crl-number").write_text("01\n")
        settings.write_text(
            f"[ca]\ndefault_ca = only\n[only]\ndatabase = {folder}/ca-index\ndefault_md = sha256\ndefault_crl_days = 2\n"
            f"crlnumber = {folder}/crl-number\ncrl_extensions = crl\n[crl]\nauthorityKeyIdentifier = keyid\n"
        )
        extensions.write_text("extendedKeyUsage = clientAuth\nbasicConstraints = CA:FALSE\n")
        for command in (
            ["req", "-x509", *new_key, "-subj", "/CN=bench clients", "-days", "2", "-keyout", key, "-out", self.file,
             "-addext", "keyUsage = critical,keyCertSign,cRLSign"],
            ["ca", "-gencrl", "-config", settings, "-keyfile", key, "-cert", self.file, "-out", self.crl],
            ["req", "-new", *new_key, "-subj", "/CN=PC-0815", "-keyout", client_key, "-out", request],
            ["x509", "-req", "-in", request, "-CA", self.file, "-CAkey", key, "-CAcreateserial", "-days", "2",
             "-extfile", extensions, "-out", self.client],
        ):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        with open(self.client, "a") as both:
            both.write(client_key.read_text())


class Server:
    """A server and its processes, with one HTTP and two HTTPS ports, one of which requires client certificates."""

    def __init__(self, name):
        self.name = name
        self.http_port, self.https_port, self.certified_port = free_port(), free_port(), free_port()
        self.process = None

    def url(self, path, tls=False):
        return f"https://127.0.0.1:{self.https_port}{path}" if tls else f"http://127.0.0.1:{self.http_port}{path}"

    def certified_url(self, path):
        return f"https://127.0.0.1:{self.certified_port}{path}"

    def processes(self):
        """Returns the started process and its children, which do the work of nginx."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self):
        """Returns the processor time used so far, user and system, in steps of 10 ms."""
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def wait_until_up(self, path):
        for _ in range(200):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended at once; see its log in the working folder")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
                connection.request("GET", path)
                if connection.getresponse().status < 500:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit(f"{self.name} did not come up")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Imagedepot(Server):
    """imagedepot with three listeners and an image in the channel production; the other settings are the defaults but for
    those that are given."""

    def __init__(self, binary, folder, certificate, key, clients, more_settings=""):
        super().__init__("imagedepot")
        self.data = folder / "data"
        settings = folder / "imagedepot.toml"
        settings.write_text(
            f'[[listener]]\naddress = "127.0.0.1:{self.http_port}"\n'
            f'[[listener]]\naddress = "127.0.0.1:{self.https_port}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
            f'[[listener]]\naddress = "127.0.0.1:{self.certified_port}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
            f'client_certificates = "required"\nclient_ca = "{clients.file}"\ncrl = ["{clients.crl}"]\n'
            + more_settings
        )
        with open(folder / "imagedepot.log", "wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--config", settings, "--data", self.data],
                env=dict(os.environ, IMAGEDEPOT_ADMIN_PASSWORD=PASSWORD), stdout=log, stderr=log,
            )
        self.wait_until_up("/readyz")

    def credentials(self):
        return {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}

    def api(self, method, path, body=None):
        """Calls the API; returns the answer's JSON, if there is any."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=600)
        headers = self.credentials()
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        connection.request("GET", "/metrics", headers=self.credentials())
        return connection.getresponse().read().decode()

    def put(self, file, revision):
        """Uploads a file with curl, as administrators do."""
        url = self.url(f"/api/v1/images/bench/revisions/{revision}/files/image")
        subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", "-u", f"admin:{PASSWORD}", "-T", file, url], check=True)

    def draft(self):
        return self.api("POST", "/images/bench/revisions", {})["number"]

    def publish(self, file):
        """Uploads, seals and promotes the file; returns the path that it is published under."""
        self.api("POST", "/images", {"name": "bench", "kind": "single"})
        revision = self.draft()
        self.put(file, revision)
        self.api("POST", f"/images/bench/revisions/{revision}/seal")
        self.api("PUT", "/images/bench/channels/production", {"revision": revision})
        path = f"/MEDVImages/bench_{revision}.img"
        for _ in range(200):
            if (self.data / path[1:]).exists():
                return path
            time.sleep(0.05)
        raise SystemExit(f"{path} was not published")

    def update_check(self, query):
        """Returns an update check's path, body, and the headers that nginx does not write itself."""
        path = f"/api/v1/update-check?{query}"
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port)
        connection.request("GET", path)
        answer = connection.getresponse()
        by_itself = {"content-length", "content-type", "date", "connection", "server"}
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in by_itself}
        return path, answer.read().decode(), headers


class Nginx(Server):
    """nginx with one worker per core, sendfile and no access log; update checks get constant answers."""

    def __init__(self, folder, root, certificate, key, clients, checks):
        super().__init__("nginx")
        folder = folder / "nginx"
        folder.mkdir()
        locations = ""
        for index, (_, body, headers) in enumerate(checks):
            added = "\n".join(f"      add_header {name} '{value}';" for name, value in headers.items())
            locations += f"    location = /constant/{index} {{\n      default_type application/json;\n{added}\n      return 200 '{body}';\n    }}\n"
        self.checks = {path: f"/constant/{index}" for index, (path, _, _) in enumerate(checks)}
        temporary = "\n".join(
            f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        settings = folder / "nginx.conf"
        settings.write_text(f"""{user}
worker_processes auto;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  large_client_header_buffers 4 64k;
  keepalive_requests 1000000000;
{temporary}
  server {{
    listen 127.0.0.1:{self.http_port};
    listen 127.0.0.1:{self.https_port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root {root};
{locations}  }}
  server {{
    listen 127.0.0.1:{self.certified_port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_verify_client on;
    ssl_client_certificate {clients.file};
    ssl_crl {clients.crl};
{locations}  }}
}}
""")
        self.process = subprocess.Popen(["nginx", "-c", settings, "-e", folder / "error.log"], stderr=subprocess.DEVNULL)
        self.wait_until_up("/")
