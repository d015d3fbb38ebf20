// cache.js: what an application does with the cache, by the two clients of Node that most use.
// Options as JSON in the first argument: { client, port, password, tls: { ca, cert, key } (files) }.
"use strict";
const assert = require("assert");
const fs = require("fs");

const options = JSON.parse(process.argv[2]);
const tls = options.tls && {
	ca: fs.readFileSync(options.tls.ca), cert: fs.readFileSync(options.tls.cert),
	key: fs.readFileSync(options.tls.key), checkServerIdentity: () => undefined, // the role says who it is
};

async function connectRedis() {
	const client = require("redis").createClient({
		password: options.password, name: "try",
		socket: { host: "127.0.0.1", port: options.port, reconnectStrategy: false, ...(tls ? { tls: true, ...tls } : {}) },
	});
	await client.connect();
	return { set: (k, v, px) => client.set(k, v, { PX: px }), setNew: (k, v, px) => client.set(k, v, { PX: px, NX: true }),
		setex: (k, s, v) => client.setEx(k, s, v), get: (k) => client.get(require("redis").commandOptions({ returnBuffers: true }), k),
		getdel: (k) => client.getDel(k), del: (k) => client.del(k), pttl: (k) => client.pTTL(k),
		pexpire: async (k, ms) => Number(await client.pExpire(k, ms)), exists: (k) => client.exists(k), ping: () => client.ping(),
		info: (s) => client.info(s), unknown: () => client.sendCommand(["KEYS", "*"]), quit: () => client.quit() };
}

async function connectIoredis() {
	const Redis = require("ioredis");
	const client = new Redis({ host: "127.0.0.1", port: options.port, password: options.password, tls, connectionName: "try",
		retryStrategy: null, maxRetriesPerRequest: 0, enableOfflineQueue: true });
	await new Promise((good, bad) => client.once("ready", good).once("error", bad));
	return { set: (k, v, px) => client.set(k, v, "PX", px), setNew: (k, v, px) => client.set(k, v, "PX", px, "NX"),
		setex: (k, s, v) => client.setex(k, s, v), get: (k) => client.getBuffer(k),
		getdel: (k) => client.getdel(k), del: (k) => client.del(k), pttl: (k) => client.pttl(k),
		pexpire: (k, ms) => client.pexpire(k, ms), exists: (k) => client.exists(k), ping: () => client.ping(),
		info: (s) => client.info(s), unknown: () => client.call("KEYS", "*"), quit: () => client.quit() };
}

async function main() {
	const c = await (options.client === "redis" ? connectRedis() : connectIoredis());
	const key = `node:${options.client}`, bytes = Buffer.from([...Array(256).keys()]);
	assert.strictEqual(await c.ping(), "PONG");
	assert.strictEqual(await c.set(key, bytes, 60000), "OK");
	assert.deepStrictEqual(Buffer.from(await c.get(key)), bytes);
	assert.strictEqual(await c.setNew(key, "other", 60000), null);
	assert.ok(await c.pttl(key) > 59000);
	assert.strictEqual(await c.pexpire(key, 5000), 1);
	assert.ok(await c.pttl(key) <= 5000);
	assert.strictEqual(await c.exists(key), 1);
	assert.strictEqual(await c.setex(key, 60, "text"), "OK");
	assert.strictEqual(await c.getdel(key), "text");
	assert.strictEqual(await c.get(key), null);
	assert.strictEqual(await c.del(key), 0);
	assert.match(await c.info("server"), /run_id:[0-9a-f]{40}/);
	await assert.rejects(c.unknown(), /unknown command/);
	// Many at once: each gets its own answer.
	await Promise.all([...Array(500).keys()].map((i) => c.set(`${key}:${i}`, `value ${i}`, 60000)));
	const got = await Promise.all([...Array(500).keys()].map((i) => c.get(`${key}:${i}`)));
	got.forEach((value, i) => assert.strictEqual(value.toString(), `value ${i}`));
	await c.quit();
	console.log("good");
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
