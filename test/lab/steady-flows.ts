/**
 * Flows of a container that go on and on: a TCP connection on which each word is answered before the next is said, and
 * datagrams of one socket. Both ends are sockets of Python.
 */
import type { Lab } from "./lab.ts";
import type { LabProcess } from "./lab-process.ts";
import type { Role } from "./plan.ts";

const ECHO_PORT = 7001;
const PAUSE_S = 0.02;

const SERVER = `
import socket, socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(4096): self.request.sendall(data)
        except OSError: pass
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
with Server(("::", int(sys.argv[1])), Echo) as server:
    print("listening", flush=True)
    server.serve_forever()
`;

const TCP = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
print("begun", flush=True)
n = 0
while True:
    n += 1
    word = b"%d\\n" % n
    s.sendall(word)
    heard = b""
    while not heard.endswith(b"\\n"):
        more = s.recv(100)
        if not more: print("ended", flush=True); sys.exit(1)
        heard += more
    assert heard == word, heard
    print("n=%d;" % n, flush=True)
    time.sleep(${PAUSE_S})
`;

const UDP = `
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
print("begun", flush=True)
while True:
    try: s.send(b"x")
    except OSError as fault: print("fault", fault.errno, flush=True)
    time.sleep(${PAUSE_S})
`;

/** An origin on the Internet that says back what it hears; its end is that of the laboratory. */
export async function startEcho(lab: Lab): Promise<void> {
  const server = lab.spawn("internet", ["python3", "-u", "-c", SERVER, String(ECHO_PORT)]);
  await server.waitFor("listening");
}

/** One connection of a container. */
export class SteadyConnection {
  readonly #process: LabProcess;

  private constructor(process: LabProcess) {
    this.#process = process;
  }

  static async begin(lab: Lab, role: Role, origin: string): Promise<SteadyConnection> {
    const process = lab.spawn(role, ["python3", "-u", "-c", TCP, origin, String(ECHO_PORT)]);
    await process.waitFor("n=1;");
    return new SteadyConnection(process);
  }

  /** Words that were answered so far. */
  get count(): number {
    return Number(/n=(\d+);\s*$/.exec(this.#process.said)?.[1] ?? 0);
  }

  /** Waits until so many more were answered; throws if the connection ends before. */
  async goesOn(more: number): Promise<void> {
    await this.#process.waitFor(`n=${this.count + more};`);
  }

  /** Resolves when the connection has failed, with what its client said last. */
  async fails(): Promise<string> {
    await this.#process.exited;
    return this.#process.said.slice(-200);
  }

  async end(): Promise<void> {
    await this.#process.kill();
  }
}

/** Datagrams that a container sends to an origin, fifty in a second. */
export async function sendSteadily(lab: Lab, role: Role, origin: string): Promise<LabProcess> {
  const process = lab.spawn(role, ["python3", "-u", "-c", UDP, origin, "9"]);
  await process.waitFor("begun");
  return process;
}
