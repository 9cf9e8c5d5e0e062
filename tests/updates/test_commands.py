"""Commands by MQTT: signed, for this topic, carried out once, answered; anything else is refused and counted."""

import json
import queue
import threading
import time
import urllib.request

import jwt
import paho.mqtt.client as paho
import pytest
from brokers import Broker, needs_broker
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from test_apply import Gateway

from flowrt.cli.main import main
from flowrt.registry import orders
from flowrt.registry.orders import Order, Seen, Unlawful, claims_for, opened, seen_from, signed_order
from flowrt.registry.trust import Key, Policy, make_key, read_policy

TOPIC = "fleet/gw17/commands"
NOW = 1_700_000_000
SECRET = b"a secret of thirty-two bytes, or"


@pytest.fixture(scope="module")
def keys():
    return make_key()


@pytest.fixture(scope="module")
def policy(keys):
    return Policy(
        "nothing", (Key("ops", keys[1], (), ("pump*",)), Key("panel", b"", (), ("*",), SECRET), Key("release", keys[1]))
    )


def command(keys, name="ops", **changes):
    claims = {"aud": TOPIC, "iat": NOW, "exp": NOW + 600, "jti": "12345678", "v": 1, "do": "apply", "artifact": "g:1"}
    return signed_order({**claims, **changes}, name, keys[0], shared=False).encode()


def test_a_signed_command_is_understood(keys, policy):
    order = opened(command(keys, bring=["oci://h/m:1"]), policy, TOPIC, "pump-1", NOW)
    assert order == Order("apply", "ops", "12345678", NOW, NOW + 600, "g:1", ("oci://h/m:1",))
    shared = signed_order(claims_for(TOPIC, "status", "x" * 8, 60), "panel", SECRET, shared=True)
    assert opened(shared.encode(), policy, TOPIC, "any", time.time()).key == "panel"


def forged(keys):
    """What an attacker may try, by why it is refused."""
    good, (_, public) = command(keys), keys
    head, body, signature = good.split(b".")
    claims = {"aud": TOPIC, "iat": NOW, "exp": NOW + 600, "jti": "12345678", "v": 1, "do": "rollback"}
    unsigned = jwt.encode(claims, "", "none", {"kid": "ops"}).encode()
    # A public key used as if it were a secret that both sides know.
    confused = jwt.encode(claims, public.replace(b"PUBLIC", b"P"), "HS256", {"kid": "ops"}).encode()
    other = signed_order(claims, "ops", make_key()[0], shared=False).encode()
    return {
        "too long": ("size", good + b"x" * orders.BYTES_MAX),
        "no token": ("malformed", b'{"do": "rollback"}'),
        "bytes": ("malformed", bytes(range(256))),
        "nested": ("malformed", b"eyJhbGciOiJFZERTQSJ9" + b"[" * 9000),
        "empty": ("malformed", b""),
        "not signed": ("signature", unsigned),
        "signed with the public key": ("signature", confused),
        "signed by a stranger": ("signature", other),
        "changed": ("signature", b".".join((head, body[:-4] + b"AAAA", signature))),
        "an unknown key": ("key", command(keys, "nobody")),
        "a key that signs modules only": ("key", command(keys, "release")),
        "for another gateway": ("audience", command(keys, aud="fleet/gw18/commands")),
        "too old": ("expired", command(keys, iat=NOW - 900, exp=NOW - 300)),
        "from the future": ("expired", command(keys, iat=NOW + 900, exp=NOW + 1500)),
        "for ever": ("malformed", command(keys, exp=NOW + 10 * 86400)),
        "times that are none": ("malformed", command(keys, exp="never")),
        "of another version": ("unknown", command(keys, v=2)),
        "of another kind": ("unknown", command(keys, do="format")),
        "with more than is known": ("malformed", command(keys, shell="rm")),
        "without an id": ("malformed", command(keys, jti="1")),
        "nothing to apply": ("malformed", command(keys, artifact="")),
        "bringing a number": ("malformed", command(keys, bring=[1])),
    }


def test_what_is_no_lawful_command_is_refused(keys, policy):
    for name, (kind, data) in forged(keys).items():
        with pytest.raises(Unlawful) as refused:
            opened(data, policy, TOPIC, "pump-1", NOW)
        assert refused.value.kind == kind, name
    with pytest.raises(Unlawful, match="key 'ops' may not command graph 'valve'"):
        opened(command(keys), policy, TOPIC, "valve", NOW)


@given(
    data=st.binary(max_size=200),
    token=st.lists(st.binary(max_size=40).map(lambda part: part.hex()), min_size=3, max_size=3),
)
def test_no_bytes_whatever_are_a_command(policy, data, token):
    for one in (data, ".".join(token).encode()):
        with pytest.raises(Unlawful):
            opened(one, policy, TOPIC, "pump-1", NOW)


def order_at(number, issued, lifetime=600):
    return Order("rollback", "ops", f"id-{number:06}", issued, issued + lifetime)


def test_a_command_is_carried_out_once_whatever_the_clock_says(monkeypatch):
    monkeypatch.setattr(orders, "SEEN_MAX", 3)
    seen = Seen(0, {})
    for number in range(3):
        seen.take(order_at(number, NOW + number), NOW)
    with pytest.raises(Unlawful, match="carried out before"):
        seen.take(order_at(1, NOW + 1), NOW)
    with pytest.raises(Unlawful, match="3 commands were carried out that have not expired"):
        seen.take(order_at(3, NOW + 3), NOW + 5)

    later = NOW + 601  # the first has expired, and is forgotten
    seen.take(order_at(3, later), later)
    assert sorted(seen.ids) == ["id-000001", "id-000002", "id-000003"]
    with pytest.raises(Unlawful, match="issued before others whose ids are forgotten"):
        seen.take(order_at(0, NOW), NOW)  # the clock was set back
    assert seen_from(json.loads(json.dumps(seen.as_json()))) == seen


def test_the_policy_says_which_graphs_a_key_may_command(tmp_path, keys):
    path = tmp_path / "trust.toml"
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    path.write_text(
        f'require = "nothing"\n[keys.ops]\nnames = []\ncommands = ["pump*"]\nkey = """\n{keys[1].decode()}"""\n'
        f'[keys.panel]\ncommands = ["*"]\nsecret_file = "{tmp_path}/secret"\n'
    )
    assert [(key.name, key.names, key.commands, key.secret) for key in read_policy(path).keys] == [
        ("ops", (), ("pump*",), b""), ("panel", (), ("*",), SECRET),
    ]  # fmt: skip
    (tmp_path / "secret").write_bytes(b"short")
    for text in (f'[keys.a]\nsecret_file = "{tmp_path}/secret"', '[keys.a]\ncommands = "*"\nkey = ""'):
        path.write_text(text)
        with pytest.raises(Exception, match="trust policy"):
            read_policy(path)


# With a real broker, which knows its users.

UPDATES = """\
updates:
  shadow: 0
  probation: 100ms
  messages: 0
  bounds: {latency: 1000}
  commands: {endpoint: plant, topic: fleet/gw17/commands}
"""


class Operator:
    """Plain paho: publishes commands and listens for answers."""

    def __init__(self, broker, user="operator"):
        self.answers = queue.SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.username_pw_set(user, "secret")
        self._client.on_message = lambda _c, _d, message: self.answers.put(message)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe(f"{TOPIC}/+", qos=1)
        self._client.loop_start()
        assert subscribed.wait(10)
        self._number = 0

    def ask(self, payload, answer_to=f"{TOPIC}/me"):
        """Every answer to a command."""
        self._number += 1
        correlation = b"%d" % self._number
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic, properties.CorrelationData = answer_to, correlation
        self._client.publish(TOPIC, payload, qos=1, properties=properties)
        found = []
        while not found or not found[-1].get("done"):
            message = self.answers.get(timeout=30)
            assert (message.topic, message.properties.CorrelationData) == (answer_to, correlation)
            found.append(json.loads(message.payload))
        return found

    def publish(self, topic, payload, answer_to=None):
        properties = Properties(PacketTypes.PUBLISH)
        if answer_to is not None:
            properties.ResponseTopic = answer_to
        self._client.publish(topic, payload, qos=1, properties=properties).wait_for_publish(10)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Afar:
    """A gateway that takes commands, its broker, its store with versions 2 to 4 of the graph, and an operator."""

    def __init__(self, folder, broker, keys, capsys):
        self.folder, self.broker, self.capsys = folder, broker, capsys
        self.gateway = Gateway(folder, broker)
        (folder / "word").write_text("secret")
        (folder / "ops.key").write_bytes(keys[0])
        (folder / "trust.toml").write_text(
            f'require = "nothing"\n[keys.ops]\nnames = []\ncommands = ["g"]\nkey = """\n{keys[1].decode()}"""\n'
        )
        self.write("v1", "1", "graph.yaml")
        for name, version in (("v2", "2"), ("trap", "3"), ("nothing", "4")):
            path = self.write(name, version, f"g-{version}.yaml")
            assert main(["pull", str(path), "--state", str(folder / "s")]) == 0
        self.start()
        self.page = self.gateway.text.split("metrics at ")[1].split()[0]
        self.operator = Operator(broker)

    def start(self):
        self.gateway.start("--metrics", "127.0.0.1:0")
        self.gateway.wait_for("client id '[^']*-commands")

    def write(self, module, version, name):
        path = self.gateway.write(module, version=version, name=name)
        text = path.read_text().partition("updates:")[0] + UPDATES
        who = f"port: {self.broker.port}, credentials: {{username: gateway, passwordFile: {self.folder}/word}}"
        path.write_text(text.replace(f"port: {self.broker.port}", who))
        return path

    def signed(self, *arguments):
        self.capsys.readouterr()
        key = ["--topic", TOPIC, "--key-name", "ops", "--key", str(self.folder / "ops.key")]
        assert main(["command", *arguments, *key]) == 0
        return self.capsys.readouterr().out.strip()

    def ask(self, payload):
        return self.operator.ask(payload)[-1]

    def close(self):
        self.operator.close()
        self.gateway.end()


@pytest.fixture
def afar(tmp_path, keys, capsys, monkeypatch):
    monkeypatch.setenv("FLOWRT_TRUST", str(tmp_path / "trust.toml"))
    acl = ["user operator", f"topic write {TOPIC}", f"topic read {TOPIC}/#", "user gateway", "topic readwrite #"]
    with Broker(users=dict.fromkeys(("operator", "gateway", "thief"), "secret"), acl=acl) as broker:
        made = Afar(tmp_path, broker, keys, capsys)
        yield made
        made.close()


@needs_broker
def test_a_gateway_is_commanded_from_afar(afar):
    """Applied by the name of a graph in the store, rolled back, asked for its state; and attacked in between."""
    gateway, operator, signed, ask = afar.gateway, afar.operator, afar.signed, afar.ask
    first = signed("apply", "g:2")
    answers = operator.ask(first)
    assert answers[0]["taken"] == "apply"
    assert [answer["state"] for answer in answers if "state" in answer][-1] == "proven"
    assert (answers[-1]["outcome"], gateway.running()["version"]) == ("proven", "2")

    assert ask(first)["refused"] == "replayed"
    assert ask("rubbish")["refused"] == "malformed"
    assert ask(first[:-8] + "AAAAAAAA")["refused"] == "signature"
    assert ask("x" * 20_000)["refused"] == "size"
    for artifact, words in {
        "../../etc/passwd:1": "names no artifact",
        "sha256:../../../etc/passwd": "is not a digest",
        "oci://evil.example/g:1": "nothing is brought from 'evil.example'",
        "file:///etc/passwd": "nothing is brought from ''",
        "g:9": "g:9 is not in the store",
        "g:4": "the graph has problems",
    }.items():
        assert words in ask(signed("apply", artifact))["error"]
    assert ask(signed("status"))["graphs"][0]["version"] == "2"

    # Not where the gateway's own sinks send to, whoever asks for it; and a thief may not even publish.
    for elsewhere in ("out", TOPIC):
        operator.publish(TOPIC, signed("rollback"), answer_to=elsewhere)
    thief = Operator(afar.broker, "thief")
    thief.publish(TOPIC, signed("rollback"))
    thief.close()

    assert ask(signed("rollback"))["outcome"] == "proven"
    assert gateway.running()["version"] == "1"
    assert gateway.flowrt("apply", "g:2")[1].splitlines()[-1] == "proven"  # as one who is logged in says it
    expected = {"taken": 9, "replayed": 1, "malformed": 1, "signature": 1, "size": 1, "topic": 2}
    assert {kind: count for kind, count in counted(afar.page).items() if count} == expected
    gateway.end()
    afar.start()  # what was carried out is not carried out again
    assert ask(first)["refused"] == "replayed"


def counted(page):
    text = urllib.request.urlopen(page, timeout=10).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("flowrt_update_commands_total")]
    return {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}
