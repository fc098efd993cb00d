// MQTT.js against a broker over WebSocket: `mqttjs_client.cjs URL SCENARIO`. Ends with status 1 when something is wrong.
"use strict";

const assert = require("node:assert");
const crypto = require("node:crypto");
const mqtt = require("mqtt");

const [url, scenario] = process.argv.slice(2);
const fresh = (prefix) => `${prefix}-${crypto.randomBytes(6).toString("hex")}`;

/** A connected client whose messages come out of `next`. */
async function connect(options) {
    const client = await mqtt.connectAsync(url, { clientId: fresh("mqttjs"), reconnectPeriod: 0, ...options });
    const messages = [], waiting = [];
    client.on("message", (topic, payload, packet) => {
        const message = { topic, text: payload.toString(), packet };
        const wants = waiting.shift();
        if (wants) wants(message); else messages.push(message);
    });
    client.next = () => messages.length ? Promise.resolve(messages.shift()) : new Promise((wants) => waiting.push(wants));
    return client;
}

const scenarios = {
    // Each version at each QoS, in order, and a payload of several frames.
    async every_qos() {
        for (const protocolVersion of [3, 4, 5]) {
            const names = protocolVersion === 3 ? { protocolId: "MQIsdp" } : {};
            const client = await connect({ protocolVersion, ...names });
            const topic = fresh("mqttjs/t");
            await client.subscribeAsync(topic, { qos: 2 });
            for (const qos of [0, 1, 2]) {
                for (let n = 0; n < 50; n++) client.publish(topic, `${qos} ${n}`, { qos });
                for (let n = 0; n < 50; n++) {
                    const { text, packet } = await client.next();
                    assert.deepStrictEqual([text, packet.qos], [`${qos} ${n}`, qos]);
                }
            }
            const large = "x".repeat(300_000);
            await client.publishAsync(topic, large, { qos: 1 });
            assert.strictEqual((await client.next()).text, large);
            await client.endAsync();
        }
    },

    // Properties of version 5.
    async properties() {
        const client = await connect({ protocolVersion: 5, properties: { topicAliasMaximum: 10 } });
        const topic = fresh("mqttjs/t");
        await client.subscribeAsync(topic, { qos: 1, properties: { subscriptionIdentifier: 42 } });
        const properties = {
            contentType: "text/plain", responseTopic: "answers", correlationData: Buffer.from([0, 255]),
            messageExpiryInterval: 60, payloadFormatIndicator: true, userProperties: { b: ["2", "3"], a: "1" },
        };
        for (let n = 0; n < 3; n++) {
            await client.publishAsync(topic, "hello", { qos: 1, properties });
            const message = await client.next();
            const got = message.packet.properties;
            assert.strictEqual(message.topic, topic);
            assert.strictEqual(got.subscriptionIdentifier, 42);
            assert.deepStrictEqual({ ...got.userProperties }, properties.userProperties);
            assert.strictEqual(got.contentType, "text/plain");
            assert.strictEqual(got.responseTopic, "answers");
            assert.deepStrictEqual(got.correlationData, properties.correlationData);
            assert.ok(got.messageExpiryInterval >= 58);
        }
        await client.endAsync();
    },

    // A session that is kept, retained messages and a will.
    async sessions() {
        const clientId = fresh("mqttjs"), topic = fresh("mqttjs/t"), kept = fresh("mqttjs/kept"), will = fresh("mqttjs/will");
        const options = { protocolVersion: 5, clientId, clean: false, properties: { sessionExpiryInterval: 60 } };
        let client = await connect({ ...options, will: { topic: will, payload: "gone", qos: 1 } });
        await client.subscribeAsync(topic, { qos: 2 });
        const other = await connect({ protocolVersion: 4 });
        await other.subscribeAsync(will, { qos: 1 });
        client.stream.destroy();
        assert.strictEqual((await other.next()).text, "gone");
        for (let n = 0; n < 20; n++) await other.publishAsync(topic, `${n}`, { qos: 2 });
        await other.publishAsync(kept, "kept", { qos: 1, retain: true });
        client = await connect(options);
        for (let n = 0; n < 20; n++) assert.strictEqual((await client.next()).text, `${n}`);
        await client.subscribeAsync(kept, { qos: 1 });
        const message = await client.next();
        assert.ok(message.packet.retain && message.text === "kept");
        await other.publishAsync(kept, "", { qos: 1, retain: true });
        await Promise.all([client.endAsync(), other.endAsync()]);
    },
};

setTimeout(() => { console.error("too slow"); process.exit(1); }, 25_000).unref();
scenarios[scenario]().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
