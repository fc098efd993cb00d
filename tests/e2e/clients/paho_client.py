"""Paho's Python client against a broker: `paho_client.py HOST PORT SCENARIO`. Fails with an exception."""

import queue
import sys
import time
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = sys.argv[1], int(sys.argv[2])
PATIENCE = 20


def fresh(prefix="paho"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class Client:
    """A connected client whose messages and acknowledgements come out of queues."""

    def __init__(self, version=mqtt.MQTTv5, client_id=None, clean=True, properties=None, will=None, at=(HOST, PORT)):
        self.messages, self.subscribed, self.published = queue.Queue(), queue.Queue(), {}
        self.connected = queue.Queue()
        options = {"client_id": client_id or fresh(), "protocol": version}
        if version != mqtt.MQTTv5:
            options["clean_session"] = clean
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
        self.client.on_connect = lambda c, u, flags, reason, props: self.connected.put((flags, reason, props))
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.on_subscribe = lambda c, u, mid, reasons, props: self.subscribed.put(reasons)
        self.client.on_publish = lambda c, u, mid, reason, props: self.published.update({mid: reason})
        if will:
            self.client.will_set(**will)
        if version == mqtt.MQTTv5:
            self.client.connect(*at, clean_start=clean, properties=properties)
        else:
            self.client.connect(*at)
        self.client.loop_start()
        self.flags, reason, self.properties = self.connected.get(timeout=PATIENCE)
        assert reason == "Success", reason

    def subscribe(self, *args, **kwargs):
        self.client.subscribe(*args, **kwargs)
        reasons = self.subscribed.get(timeout=PATIENCE)
        assert all(not reason.is_failure for reason in reasons), reasons
        return self

    def publish(self, *args, **kwargs):
        info = self.client.publish(*args, **kwargs)
        info.wait_for_publish(PATIENCE)
        assert info.is_published()
        return info

    def receive(self):
        return self.messages.get(timeout=PATIENCE)

    def expect_nothing(self, seconds=0.3):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected: {message.topic} {message.payload}")

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """Closes the connection without DISCONNECT, and stays away."""
        self.client.loop_stop()
        self.client._sock_close()


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def every_qos():
    """What is published at each QoS is received at it, in order, in both versions."""
    for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
        client, topic = Client(version), fresh("paho/t")
        client.subscribe(topic, 2)
        for qos in (0, 1, 2):
            for number in range(20):
                client.client.publish(topic, f"{qos} {number}", qos)
            for number in range(20):
                message = client.receive()
                assert (message.payload.decode(), message.qos) == (f"{qos} {number}", qos)
        client.leave()


def message_properties():
    """Properties of a message arrive as they were, user properties in order."""
    client, topic = Client(), fresh("paho/t")
    client.subscribe(topic, 1)
    pairs = [("b", "2"), ("a", "1"), ("b", "3"), ("ü", "✓")]
    sent = properties(
        PacketTypes.PUBLISH,
        ContentType="text/plain",
        PayloadFormatIndicator=1,
        ResponseTopic="answers",
        CorrelationData=b"\x00\xff",
        MessageExpiryInterval=60,
        UserProperty=pairs,
    )
    client.publish(topic, "hello", 1, properties=sent)
    got = client.receive().properties
    assert got.UserProperty == pairs, got.UserProperty
    assert (got.ContentType, got.PayloadFormatIndicator) == ("text/plain", 1)
    assert (got.ResponseTopic, got.CorrelationData) == ("answers", b"\x00\xff")
    assert 58 <= got.MessageExpiryInterval <= 60
    client.leave()


def topic_aliases():
    """The client's aliases are understood, and the broker makes its own where they are allowed."""
    publisher = Client()
    assert publisher.properties.TopicAliasMaximum > 0
    reader = Client(properties=properties(PacketTypes.CONNECT, TopicAliasMaximum=5))
    topic = fresh("paho/t")
    reader.subscribe(topic, 1)
    publisher.publish(topic, "by name", 1, properties=properties(PacketTypes.PUBLISH, TopicAlias=3))
    publisher.publish("", "by alias", 1, properties=properties(PacketTypes.PUBLISH, TopicAlias=3))
    first, second = reader.receive(), reader.receive()
    assert (first.payload, second.payload) == (b"by name", b"by alias")
    # Paho shows what was sent: the name with the alias first, then the alias alone.
    assert first.topic == topic and second.topic in (topic, "")
    assert second.topic == topic or second.properties.TopicAlias == first.properties.TopicAlias
    publisher.leave()
    reader.leave()


def session_expiry():
    """A session outlives its connection as long as it was told to, and no longer."""
    for expiry, pause, present in ((60, 0.2, True), (1, 2.5, False), (0, 0, False)):
        client_id, topic = fresh(), fresh("paho/t")
        wanted = properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry)
        client = Client(client_id=client_id, properties=wanted)
        client.subscribe(topic, 1)
        client.vanish()
        time.sleep(pause)
        other = Client()
        other.publish(topic, "while away", 1)
        other.leave()
        client = Client(client_id=client_id, clean=False, properties=wanted)
        assert client.flags.session_present == present, (expiry, client.flags)
        if present:
            assert client.receive().payload == b"while away"
        else:
            client.expect_nothing()
        client.leave()
    # Version 3.1.1 without a clean session.
    client_id, topic = fresh(), fresh("paho/t")
    Client(mqtt.MQTTv311, client_id, clean=False).subscribe(topic, 2).leave()
    other = Client()
    for number in range(50):
        other.publish(topic, str(number), 2)
    other.leave()
    client = Client(mqtt.MQTTv311, client_id, clean=False)
    assert client.flags.session_present
    assert [int(client.receive().payload) for _ in range(50)] == list(range(50))
    client.leave()


def will_delay():
    """A will waits for its delay, and is not sent when its client comes back in time."""
    watcher = Client()
    for comes_back in (True, False):
        client_id, topic = fresh(), fresh("paho/will")
        watcher.subscribe(topic, 1)
        delayed = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1, ContentType="text/plain")
        will = {"topic": topic, "payload": "gone", "qos": 1, "properties": delayed}
        connect = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
        Client(client_id=client_id, properties=connect, will=will).vanish()
        vanished = time.monotonic()
        if comes_back:
            again = Client(client_id=client_id, clean=False, properties=connect)
            watcher.expect_nothing(2)
            again.leave()
        else:
            message = watcher.receive()
            assert message.payload == b"gone" and message.properties.ContentType == "text/plain"
            assert 0.9 <= time.monotonic() - vanished <= 5, time.monotonic() - vanished
    watcher.leave()


def request_response():
    """A request is answered where it asks to be, with its correlation data."""
    requester, responder = Client(), Client()
    service, answers = fresh("paho/service"), fresh("paho/answers")
    responder.subscribe(service, 1)
    requester.subscribe(answers, 1)
    asked = properties(PacketTypes.PUBLISH, ResponseTopic=answers, CorrelationData=b"7")
    requester.publish(service, "6 * 7", 1, properties=asked)
    request = responder.receive()
    answer = properties(PacketTypes.PUBLISH, CorrelationData=request.properties.CorrelationData)
    responder.publish(request.properties.ResponseTopic, "42", 1, properties=answer)
    response = requester.receive()
    assert (response.payload, response.properties.CorrelationData) == (b"42", b"7")
    requester.leave()
    responder.leave()


def subscription_options():
    """No Local, Retain As Published and Retain Handling."""
    topic = fresh("paho/t")
    client, other = Client(), Client()
    client.publish(topic, "kept", 1, retain=True)
    client.subscribe(topic, options=SubscribeOptions(1, noLocal=True, retainAsPublished=True, retainHandling=2))
    client.expect_nothing()
    client.publish(topic, "own", 1)
    client.expect_nothing()
    other.publish(topic, "kept too", 1, retain=True)
    message = client.receive()
    assert message.payload == b"kept too" and message.retain
    other.subscribe(topic, options=SubscribeOptions(1, retainHandling=0))
    message = other.receive()
    assert message.payload == b"kept too" and message.retain
    other.publish(topic, "", 1, retain=True)
    client.leave()
    other.leave()


def knock(client_id, kept):
    """Connects once; the reason of CONNACK and its Server Reference."""
    answers = queue.Queue()
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False
    )
    client.on_connect = lambda c, u, flags, reason, props: answers.put((reason, props))
    client.connect(HOST, PORT, clean_start=False, properties=kept)
    client.loop_start()
    reason, props = answers.get(timeout=PATIENCE)
    client.disconnect()
    client.loop_stop()
    return str(reason), getattr(props, "ServerReference", None)


def steering():
    """A version 5 client is told where its session is, goes there and is served; one of 3.1.1 is served where it is."""
    kept = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
    for _ in range(64):
        client_id = fresh()
        reason, reference = knock(client_id, kept)
        if reason == "Use another server":
            break
        assert reason == "Success", reason
    else:
        raise AssertionError("nobody was steered")
    host, port = reference.rsplit(":", 1)
    assert (host, int(port)) != (HOST, PORT), reference
    followed = Client(client_id=client_id, clean=False, properties=kept, at=(host, int(port)))
    topic = fresh("paho/steered")
    followed.subscribe(topic, 1)
    for number in range(8):
        old = Client(version=mqtt.MQTTv311, clean=False)
        old.publish(topic, str(number), 1)
        assert followed.receive().payload == str(number).encode()
        old.leave()
    followed.leave()
    # It has followed once: it is told again.
    assert knock(client_id, kept) == ("Use another server", reference)
    # Whoever comes back cannot follow, and is served.
    stubborn = Client(client_id=client_id, clean=False, properties=kept)
    assert stubborn.flags.session_present
    stubborn.publish(topic, "here", 1)
    assert stubborn.receive().payload == b"here"
    stubborn.leave()


globals()[sys.argv[3]]()
