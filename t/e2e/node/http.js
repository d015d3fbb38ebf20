// http.js: what an application does over HTTPS, by Node's own client and by undici.
// Options as JSON in the first argument: { client, port, ca, identity: { cert, key } (files) }.
"use strict";
const assert = require("assert");
const crypto = require("crypto");
const fs = require("fs");
const https = require("https");

const options = JSON.parse(process.argv[2]);
const origin = `https://localhost:${options.port}`;
const trust = { ca: fs.readFileSync(options.ca) };
const identity = { ...trust, cert: fs.readFileSync(options.identity.cert), key: fs.readFileSync(options.identity.key) };
const body = crypto.randomBytes(300000);
const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex");

async function* pieces() { // of unknown length in all: chunked
	for (let at = 0; at < body.length; at += 7001)
		yield body.subarray(at, at + 7001);
}

async function whole(stream) {
	const blocks = [];
	for await (const block of stream)
		blocks.push(block);
	return Buffer.concat(blocks);
}

// ask(path, { method, headers, body, close }) -> { status, headers, stream }, on one connection as long as it is kept.
function byHttps(tls) {
	const agent = new https.Agent({ ...tls, keepAlive: true, maxSockets: 1 });
	return {
		ask: (path, { method = "GET", headers = {}, body, close } = {}) => new Promise((good, bad) => {
			const r = https.request(origin + path, { agent, method, headers: { ...headers, ...(close ? { connection: "close" } : {}) } });
			r.on("error", bad).on("response", (got) => good({ status: got.statusCode, headers: got.headers, stream: got }));
			if (body)
				require("stream").Readable.from(body).pipe(r);
			else
				r.end();
		}),
		end: () => agent.destroy(),
	};
}

function byUndici(tls) {
	const pool = new (require("undici").Pool)(origin, { connect: tls, connections: 1, pipelining: 1 });
	return {
		ask: async (path, { method = "GET", headers = {}, body, close } = {}) => {
			const got = await pool.request({ path, method, headers, body, reset: close });
			return { status: got.statusCode, headers: got.headers, stream: got.body };
		},
		end: () => pool.close(),
	};
}

async function events(ask, other) {
	const { status, headers, stream } = await ask("/events");
	assert.strictEqual(status, 200);
	assert.strictEqual(headers["content-type"], "text/event-stream");
	let n = 0;
	for await (const block of stream) {
		assert.strictEqual(block.toString(), `data: ${n}\n\n`); // one by one: the next waits for our word
		await whole((await other(`/seen/${n++}`)).stream);
	}
	assert.strictEqual(n, 5);
}

async function main() {
	const by = options.client === "undici" ? byUndici : byHttps;
	const one = by(trust), two = by(trust), me = by(identity);
	for (let n = 0; n < 3; n++)
		assert.strictEqual((await whole((await one.ask(`/kept/${n}`)).stream)).toString(), "ok");
	const head = await one.ask("/big", { method: "HEAD" });
	assert.strictEqual((await whole(head.stream)).length, 0);
	assert.strictEqual(sha256(await whole((await one.ask("/big")).stream)), head.headers["x-sha256"]);
	const echo = await one.ask("/echo", { method: "POST", body: pieces() });
	assert.strictEqual((await whole(echo.stream)).toString(), `chunked ${sha256(body)}`);
	await whole((await one.ask("/last", { close: true })).stream);
	await whole((await one.ask("/resumed")).stream); // on a connection of its own
	await events(one.ask, two.ask);
	const mine = await me.ask("/mine");
	assert.match((await whole(mine.stream)).toString(), /CN=someone/);
	for (const c of [one, two, me])
		await c.end();
	console.log("good");
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
