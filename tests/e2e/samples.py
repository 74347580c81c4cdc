"""Small apps to push, as file name -> text. Standard library only, so that a build takes as little as it can."""

from __future__ import annotations

#: Answers `text`; at /env/<KEY> a variable, at /id what tells this process from others, at /slow/<seconds> after a while; logs.
SERVER = '''\
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
TEXT, ID = {text!r}, os.urandom(8).hex()

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        body = TEXT
        if parts[0] == "env":
            body = os.environ.get(parts[1], "<unset>")
        elif parts[0] == "id":
            body = ID
        elif parts[0] == "hostname":
            body = os.uname().nodename
        elif parts[0] == "headers":
            body = str(self.headers)
        elif parts[0] == "slow":
            time.sleep(float(parts[1]))
        payload = body.encode("utf-8", "surrogateescape")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *parts):
        print("request", self.path, flush=True)

print("listening", TEXT, flush=True)
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
Server(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
'''
WORKER = 'import time\nprint("worker says hello", flush=True)\nwhile True: time.sleep(1)\n'


def app(text: str, **files: str) -> dict[str, str]:
    """Return a Python app for the buildpack; `files` add to it or replace, `Procfile=""` style."""
    return {
        "server.py": SERVER.format(text=text),
        "worker.py": WORKER,
        "requirements.txt": "",
        "Procfile": "web: python server.py\nworker: python worker.py\n",
        **files,
    }
