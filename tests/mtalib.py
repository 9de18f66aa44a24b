# SPDX-License-Identifier: MIT
"""Real MTAs for the tests of the gate, unpacked from their Debian packages, never installed: laid over the
file system in the test's own mount namespace, where they stand at their usual places. And what they need
around them: a DNS server with made-up names, and a receiver that takes mail."""
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

import gatelib as g
import waiting

STORE = g.TOP / "build" / "mta"
LIBRARIES = ["libdb5.3", "libicu72", "libnsl2", "libsasl2-2", "libsasl2-modules-db", "libssl3", "libtirpc3",
             "libgnutls-dane0", "libgnutls30", "libidn12", "libidn2-0", "libpcre2-8-0", "libunbound8", "libevent-2.1-7"]


def unpack(*packages, libraries=LIBRARIES, store=STORE):
    """Downloads and unpacks; skips where there is no network and none was there before. Packages that have the
    same files go into stores of their own."""
    debs, root = store / "deb", store / "root"
    mark = store / ("done-" + "-".join(packages))
    if mark.exists():
        return root
    debs.mkdir(parents=True, exist_ok=True)
    for package in [*packages, *libraries]:
        if not list(debs.glob(package + "_*.deb")):
            done = subprocess.run(["apt-get", "download", "-qq", package], cwd=debs, capture_output=True, text=True)
            if done.returncode and package in packages:
                g.skip(f"{package} cannot be downloaded: {done.stderr.strip().splitlines()[-1] if done.stderr else ''}")
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(deb), str(root)], check=True)
    mark.touch()
    return root


def lay_over(root):
    """The unpacked packages over /usr, /etc and /var of this mount namespace, with room to write."""
    base = pathlib.Path("/mnt/over")
    for name in ("usr", "etc", "var"):
        upper, work = base / name / "upper", base / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        lower = f"{root}/{name}:/{name}" if (root / name).is_dir() else f"/{name}"
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                               f"lowerdir={lower},upperdir={upper},workdir={work}", f"/{name}"], capture_output=True, text=True)
        if done.returncode:
            g.skip(f"no overlay file system for the MTA: {done.stderr.strip()}")
    with open("/etc/passwd", "a") as f:
        f.write("postfix:x:70125:70125::/var/spool/postfix:/bin/false\n"
                "Debian-exim:x:70126:70126::/var/spool/exim4:/bin/false\n")
    with open("/etc/group", "a") as f:
        f.write("postfix:x:70125:\npostdrop:x:70127:\nDebian-exim:x:70126:\n")
    subprocess.run(["ldconfig"], check=False)


class Names:
    """A DNS server on 127.0.0.53 that knows these names alone: {"name": {"MX": [...], "A": [...]}}"""
    TYPES = {1: "A", 15: "MX", 28: "AAAA"}

    def __init__(self, zone, ttl=300):
        self.zone, self.ttl, self.asked = zone, ttl, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.53", 53))
        threading.Thread(target=self.run, daemon=True).start()

    def write_resolv_conf(self):
        if os.path.islink("/etc/resolv.conf"):
            os.unlink("/etc/resolv.conf")
        with open("/etc/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")

    @staticmethod
    def encode(name):
        return b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".")) + b"\0"

    def data(self, kind, value):
        if kind == "A":
            return socket.inet_aton(value)
        if kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, value)
        return struct.pack("!H", value[0]) + self.encode(value[1])

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = self.TYPES.get(struct.unpack("!H", query[at + 1:at + 3])[0])
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        known = self.zone.get(name)
        found = known.get(kind, []) if known else []
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known is not None else 3), 1, len(found), 0, 0)
        body = query[12:at + 5]
        for value in found:
            data = self.data(kind, value)
            body += b"\xc0\x0c" + query[at + 1:at + 5] + struct.pack("!IH", self.ttl, len(data)) + data
        return head + body

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            self.socket.sendto(self.answer(query), peer)


class Mailbox(socketserver.ThreadingTCPServer):
    """Takes all mail; notes when each connection and each message came, and from where."""
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address, port, linger=0):
        super().__init__((address, port), Session)
        self.connections, self.messages, self.linger = [], [], linger
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.connections.append((time.monotonic(), self.client_address[0]))
        self.wfile.write(b"220 mailbox.test ESMTP\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (line := self.rfile.readline()) and line != b".\r\n":
                    pass
                self.server.messages.append((time.monotonic(), self.client_address[0]))
                time.sleep(self.server.linger)
                self.wfile.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


class Postfix:
    log = "/var/log/postfix.log"

    def __init__(self, cgroup, source, settings="", services=""):
        self.cgroup = cgroup
        pathlib.Path("/etc/postfix").mkdir(exist_ok=True)
        pathlib.Path("/etc/postfix/main.cf").write_text(f"""
compatibility_level = 3.6
myhostname = sender.test
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_bind_address = {source}
smtpd_recipient_restrictions = permit_mynetworks, reject
maillog_file = {self.log}
maillog_file_prefixes = /var
alias_maps =
alias_database =
smtp_tls_security_level = none
{settings}
""")
        master = """127.0.0.1:2500 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
        pathlib.Path("/etc/postfix/master.cf").write_text(master + services)
        if os.path.exists(self.log):
            os.unlink(self.log)
        # What the package's installation would have done.
        os.makedirs("/var/lib/postfix", exist_ok=True)
        subprocess.run(["chown", "postfix:postfix", "/var/lib/postfix"], check=True)
        for program in ("/usr/sbin/postqueue", "/usr/sbin/postdrop"):
            subprocess.run(["chgrp", "postdrop", program], check=True)
            os.chmod(program, 0o2755)
        self.run("start")
        waiting.wait_for(self.listens, "Postfix to listen", self.words)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", 2500)).close()
            return True
        except OSError:
            assert self.lives(), f"Postfix ended\n{self.words()}"
            return False

    def lives(self):
        return bool((self.cgroup.path / "cgroup.procs").read_text().split())

    def words(self):
        return waiting.tail(self.log)

    def run(self, command):
        """The postfix command, in the cgroup: its daemons stay there."""
        def work():
            done = subprocess.run(["postfix", command], capture_output=True, text=True)
            return [done.returncode, done.stdout + done.stderr]
        code, said = g.in_cgroup(self.cgroup, work)
        assert code == 0 or command == "stop", f"postfix {command}: status {code}\n{said}\n{self.words()}"

    def text(self):
        return pathlib.Path(self.log).read_text() if os.path.exists(self.log) else ""

    def inject(self, n, domain="provider.test", sessions=5):
        try:
            waiting.run("smtp-source", "-s", sessions, "-m", n, "-f", "a@sender.test", "-t", f"b@{domain}", "127.0.0.1:2500")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.words()}") from None

    def count(self, what):
        return sum(what in line for line in self.text().splitlines())

    def queued(self):
        done = subprocess.run(["postqueue", "-p"], capture_output=True, text=True)
        return sum(line[:1].isalnum() and "mail queue" not in line.lower() for line in done.stdout.splitlines()
                   if not line.startswith("-") and "Mail queue is empty" not in line)

    def stop(self):
        self.run("stop")
        waiting.wait_for(lambda: not self.lives(), "Postfix to end", self.words)


class Exim:
    log = "/var/log/exim4/mainlog"
    logs = (log, "/var/log/exim4/paniclog")

    def __init__(self, cgroup, source, parallel=10):
        self.cgroup = cgroup
        for folder in ("/var/spool/exim4", "/var/log/exim4"):
            os.makedirs(folder, exist_ok=True)
            subprocess.run(["chown", "-R", "70126:70126", folder], check=True)
        self.config = "/etc/exim4/test.conf"
        os.makedirs("/etc/exim4", exist_ok=True)
        pathlib.Path(self.config).write_text(f"""
primary_hostname = sender.test
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
disable_ipv6
remote_max_parallel = {parallel}
acl_smtp_rcpt = accept
local_interfaces = <; 127.0.0.1.2501
log_selector = +outgoing_interface
begin acl
begin routers
provider:
  driver = dnslookup
  domains = *
  transport = out
  ignore_target_hosts = <; ::1
begin transports
out:
  driver = smtp
  interface = {source}
  hosts_avoid_tls = *
begin retry
* * F,1h,5s
""")

    def inject(self, n, domain="provider.test"):
        """Hands n messages to as many delivering processes, in the cgroup."""
        def work():
            children = []
            for i in range(n):
                said = tempfile.TemporaryFile("w+", errors="replace")
                children.append((said, subprocess.Popen(
                    ["exim4", "-C", self.config, "-odf", "-f", "a@sender.test", f"b{i}@{domain}"],
                    stdin=open(message), stdout=said, stderr=subprocess.STDOUT)))
            return [[child.wait(), said.seek(0) or said.read()] for said, child in children]
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"Subject: x\n\nx\n")
            file.flush()
            message = file.name
            bad = [f"status {status}: {said.strip()}" for status, said in g.in_cgroup(self.cgroup, work) if status]
        assert not bad, f"exim4, {len(bad)} of {n}: " + "\n".join([bad[0], *map(waiting.tail, self.logs)])

    def text(self):
        return pathlib.Path(self.log).read_text() if os.path.exists(self.log) else ""

    def count(self, mark):
        return sum(f" {mark} " in line for line in self.text().splitlines())
