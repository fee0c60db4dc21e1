"""A receiver of webhooks: checks signatures as the Standard Webhooks convention says, and answers what the lines of
`answers` say, one for each request; `ok` when there are no more of them. Writes what it got to `got`, a JSON in each line."""

import base64, hashlib, hmac, http.server, json, os, sys, time

directory, secret = sys.argv[1], base64.b64decode(sys.argv[2].removeprefix("whsec_"))


def next_answer():
    path = os.path.join(directory, "answers")
    try:
        first, _, rest = open(path).read().partition("\n")
    except FileNotFoundError:
        return "ok"
    with open(path + ".new", "w") as file:
        file.write(rest)
    os.rename(path + ".new", path)
    return first or "ok"


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        id, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        wanted = hmac.new(secret, b"%s.%s.%s" % (id.encode(), at.encode(), body), hashlib.sha256).digest()
        signatures = [part.removeprefix("v1,") for part in (self.headers["webhook-signature"] or "").split()]
        answer = next_answer()
        with open(os.path.join(directory, "got"), "a") as file:
            got = {
                "path": self.path,
                "id": id,
                "type": self.headers["Content-Type"],
                "signed": base64.b64encode(wanted).decode() in signatures and abs(time.time() - int(at)) < 60,
                "answer": answer,
                "event": json.loads(body),
            }
            file.write(json.dumps(got) + "\n")
        if answer == "hang":
            time.sleep(3600)
        elif answer == "drop":
            self.close_connection = True
        elif answer == "redirect":
            self.reply(307, [("Location", "/elsewhere")])
        else:
            self.reply({"ok": 204, "fail": 500, "gone": 410}[answer], [])

    def reply(self, status, headers):
        self.send_response(status)
        for name, value in headers + ([] if status == 204 else [("Content-Length", "0")]):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
with open(os.path.join(directory, "port.new"), "w") as file:
    file.write(str(server.server_port))
os.rename(os.path.join(directory, "port.new"), os.path.join(directory, "port"))
server.serve_forever()
