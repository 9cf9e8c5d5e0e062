"""What the virtual machine does at its boot: the service as docs/install.md sets it up, and nodes in control groups.

Prints a line for every check, `ok` or `FAILED`, and what was seen. Runs as root, with nothing but Debian's Python.
"""

import subprocess
import time
import urllib.request
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 900.0
"""Seconds until a state that should come is given up: the machine may be emulated."""
SHARE, SECONDS = 0.25, 20.0
HOG = """
(module
  (memory (export "memory") 4)
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 131072)
  (func (export "flowrt_filter") (param i32 i32) (result i32) (loop $again (br $again)) unreachable))"""
"""A filter that never comes back from its first message: nobody has to keep it busy."""
GRAPH = """
metadata: {name: busy, version: "1"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1, clientId: busy}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: ["busy/#"]}
  - operationType: filter
    name: hog
    module: hog
    resources: {isolation: process, cpu: 250m, memory: 64Mi, deadline: 1h}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: hog}}
  - {from: {name: hog}, to: {name: out}}
"""


def run(*words, check=True):
    return subprocess.run(words, capture_output=True, text=True, check=check).stdout.strip()


def shown(unit, name):
    return run("systemctl", "show", unit, "--property", name, "--value")


def eventually(look):
    until = time.monotonic() + PATIENCE
    while not (seen := look()) and time.monotonic() < until:
        time.sleep(0.2)
    return seen


def report(what, good, seen=""):
    print(f"{'ok    ' if good else 'FAILED'} {what}{f': {seen}' if seen else ''}", flush=True)


def working(unit):
    """The service's main process, once every subscription is acknowledged."""
    if eventually(lambda: shown(unit, "StatusText") == "every subscription is acknowledged"):
        return shown(unit, "MainPID")
    return ""


def restarted(unit, before):
    eventually(lambda: shown(unit, "MainPID") not in {before, "0"} and shown(unit, "ActiveState") == "active")
    return working(unit)


def life():
    """Start, reload, die, hang: what a service goes through."""
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "flowrt@pump")
    first = working("flowrt@pump")
    report("systemd sees the service ready", bool(first), shown("flowrt@pump", "StatusText"))
    with urllib.request.urlopen("http://127.0.0.1:9464/readyz", timeout=5) as answer:
        report("/readyz answers", answer.status == 200, answer.status)
    run("systemctl", "reload", "flowrt@pump")
    report("a reload keeps the process", working("flowrt@pump") == first)
    Path("/etc/flowrt/pump.yaml").rename("/etc/flowrt/kept")
    Path("/etc/flowrt/pump.yaml").write_text("operations: [{operationType: mpa, name: x}]")
    refused = subprocess.run(["systemctl", "reload", "flowrt@pump"], capture_output=True, check=False).returncode
    report("a reload of a file with mistakes is refused, and what runs goes on",
           refused != 0 and shown("flowrt@pump", "MainPID") == first)  # fmt: skip
    Path("/etc/flowrt/kept").rename("/etc/flowrt/pump.yaml")
    run("kill", "-9", first)
    second = restarted("flowrt@pump", first)
    report("killed, it is started again", second not in {"", first})
    folder = Path("/etc/systemd/system/flowrt@pump.service.d")
    folder.mkdir()
    (folder / "watchdog.conf").write_text("[Service]\nWatchdogSec=30\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "flowrt@pump")
    third = working("flowrt@pump")
    run("kill", "-STOP", third)
    fourth = restarted("flowrt@pump", third)
    report("hung, the watchdog starts it again", fourth not in {"", third}, shown("flowrt@pump", "NRestarts"))
    run("systemctl", "stop", "flowrt@pump")
    report("a stop is clean", shown("flowrt@pump", "Result") == "success", shown("flowrt@pump", "Result"))
    score = run("systemd-analyze", "security", "flowrt@pump", check=False).splitlines()[-1]
    report("exposure, as systemd judges it", True, score)


def groups():
    """A node in a process of its own gets a control group whose bounds the kernel holds."""
    Path("/etc/flowrt/modules/hog.wat").write_text(HOG)
    compile_wat = "import sys, wasmtime; open(sys.argv[2], 'wb').write(wasmtime.wat2wasm(open(sys.argv[1]).read()))"
    run("/opt/flowrt/bin/python", "-c", compile_wat, "/etc/flowrt/modules/hog.wat", "/etc/flowrt/modules/hog.wasm")
    Path("/etc/flowrt/busy.yaml").write_text(GRAPH)
    Path("/etc/flowrt/busy.env").write_text("FLOWRT_METRICS=127.0.0.1:9465\n")
    run("systemctl", "start", "flowrt@busy")
    main = working("flowrt@busy")
    report("the graph with an isolated node runs", bool(main), shown("flowrt@busy", "StatusText"))
    service = CGROUPS / shown("flowrt@busy", "ControlGroup").lstrip("/")
    (group,) = service.glob("node-*")
    report("the runtime moved itself aside", main in (service / "main/cgroup.procs").read_text().split())
    pids = (group / "cgroup.procs").read_text().split()
    report("the node's process is in the node's group", len(pids) == 1 and pids != [main], f"{group.name} {pids}")
    bounds = {name: (group / name).read_text().strip() for name in ("cpu.max", "memory.max", "pids.max")}
    report("its bounds", bounds["cpu.max"] == "25000 100000" and bounds["memory.max"] != "max", bounds)
    run("mosquitto_pub", "-h", "127.0.0.1", "-t", "busy/a", "-m", "reading")
    idle = used(group)
    eventually(lambda: used(group) > idle + 1)
    before, began = used(group), time.monotonic()
    time.sleep(SECONDS)
    share = (used(group) - before) / (time.monotonic() - began) / SHARE
    report("its share holds", 0.9 <= share <= 1.05, f"{share:.3f} of 250m over {SECONDS:g} s, by the group's cpu.stat")
    report("past its share it lets others go first", (group / "cpu.idle").read_text().strip() == "1")
    peak = int((group / "memory.current").read_text())
    report("its memory is below its bound", peak <= int(bounds["memory.max"]), peak)
    run("kill", "-9", *pids)
    again = eventually(lambda: [p for p in (group / "cgroup.procs").read_text().split() if p not in pids])
    report("killed, the node comes back in its group, and the service stays",
           bool(again) and shown("flowrt@busy", "MainPID") == main, again)  # fmt: skip
    run("systemctl", "stop", "flowrt@busy")
    report("a stop leaves no group behind", not service.exists(), shown("flowrt@busy", "Result"))


def used(group):
    """Seconds of processor time of a group."""
    fields = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(fields["usage_usec"]) / 1e6


def main():
    run("systemd-sysusers")
    report("the kernel", True, run("uname", "-r"))
    for part in (life, groups):
        try:
            part()
        except Exception as error:  # whatever it is, the machine must still end
            report(part.__name__, good=False, seen=f"{type(error).__name__}: {error}")
            run("systemctl", "stop", "flowrt@*", check=False)
            print(run("journalctl", "--unit", "flowrt@*", "--lines", "30", "--output", "cat", check=False))
    for line in run("/opt/flowrt/bin/flowrt", "doctor", check=False).splitlines():
        print("  " + line)
    print("end of checks", flush=True)


main()
