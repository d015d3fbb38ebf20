// ws.js: WebSocket by the library of Node that most use, as a server and as its clients.
// Options as JSON in the first argument: { serve: true }, or { port, ca (file), what, tunnels }.
"use strict";
const assert = require("assert");
const crypto = require("crypto");
const events = require("events");
const fs = require("fs");
const WebSocket = require("ws");

const options = JSON.parse(process.argv[2]);

// ---- the server: sends back what comes, but for a few words. Tells how each connection ended.
function serve() {
	const server = new WebSocket.Server({ host: "127.0.0.1", port: 0, maxPayload: 32 << 20, perMessageDeflate: { threshold: 1024 } });
	server.on("listening", () => console.log(server.address().port));
	server.on("connection", (ws) => {
		ws.on("message", (data, binary) => {
			const [word, ...rest] = binary ? [] : data.toString().split(" ");
			if (word === "close")
				ws.close(Number(rest[0]), rest[1]);
			else if (word === "ping")
				ws.once("pong", (payload) => ws.send(`pong ${payload}`)).ping(rest[0]);
			else if (word === "fragments")
				rest.forEach((text, n) => ws.send(text, { fin: n === rest.length - 1, compress: false }));
			else if (word === "end")
				ws.terminate();
			else
				ws.send(data, { binary });
		});
		ws.on("close", (code, reason) => console.log(`${code} ${reason}`));
	});
	process.stdin.on("end", () => process.exit(0)).resume();
}

// ---- the clients
async function dial(more) {
	const ws = new WebSocket(`wss://localhost:${options.port}/chat`,
		{ ca: fs.readFileSync(options.ca), perMessageDeflate: false, maxPayload: 32 << 20, ...more });
	ws.inbox = events.on(ws, "message");
	ws.hear = async () => (await ws.inbox.next()).value[0];
	await events.once(ws, "open");
	return ws;
}

async function closed(ws) {
	const [code, reason] = await events.once(ws, "close");
	return [code, reason.toString()];
}

async function end(ws) {
	ws.close(1000);
	assert.deepStrictEqual(await closed(ws), [1000, ""]);
}

const whats = {
	async messages() {
		for (const compress of [false, true]) {
			const ws = await dial({ perMessageDeflate: compress });
			assert.strictEqual(ws.extensions, compress ? "permessage-deflate" : "");
			for (const size of [0, 1, 125, 126, 65535, 65536, compress ? 1 << 20 : 16 << 20]) {
				const data = crypto.randomBytes(size);
				ws.send(data);
				assert.ok(data.equals(await ws.hear()), `${size} bytes`);
			}
			await end(ws);
		}
	},
	async fragments() {
		const ws = await dial();
		for (const part of ["one ", "two ", "three"])
			ws.send(part, { fin: part === "three" });
		assert.strictEqual((await ws.hear()).toString(), "one two three");
		ws.send("fragments a b c");
		assert.strictEqual((await ws.hear()).toString(), "abc");
		const big = crypto.randomBytes(1 << 20); // a fragment of which is more than any buffer on the way; a ping between
		ws.send(big.subarray(0, 700000), { fin: false, binary: true });
		ws.ping("between");
		ws.send(big.subarray(700000), { fin: true });
		assert.ok(big.equals(await ws.hear()));
		await end(ws);
	},
	async pings() {
		const ws = await dial();
		for (const text of ["", "x", "y".repeat(125)]) {
			const pong = events.once(ws, "pong");
			ws.ping(text);
			assert.strictEqual((await pong)[0].toString(), text);
		}
		const ping = events.once(ws, "ping");
		ws.send("ping hello");
		assert.strictEqual((await ping)[0].toString(), "hello");
		assert.strictEqual((await ws.hear()).toString(), "pong hello");
		await end(ws);
	},
	async closes() {
		for (const code of [1000, 1001, 1011, 3000, 4999]) {
			const theirs = await dial();
			theirs.send(`close ${code} theirs`);
			assert.deepStrictEqual(await closed(theirs), [code, "theirs"]);
			if (code === 1001 || code === 1011)
				continue;
			const ours = await dial();
			ours.close(code, "ours");
			assert.deepStrictEqual(await closed(ours), [code, "ours"]);
		}
		const cut = await dial();
		cut.send("end"); // without a word: 1006 is what a client then says of it
		assert.deepStrictEqual(await closed(cut), [1006, ""]);
	},
	async half() { // we send no more, with close_notify and FIN; what was asked before is still answered
		const ws = await dial();
		let n = 0;
		ws.on("message", (data) => assert.strictEqual(data.toString(), `${n++} ${"z".repeat(1000)}`));
		for (let k = 0; k < 500; k++)
			ws.send(`${k} ${"z".repeat(1000)}`);
		ws._socket.end();
		await closed(ws);
		assert.strictEqual(n, 500);
	},
	async many() { // all open at once; each has its own answers, and then its own close
		const all = [];
		for (let n = 0; n < options.tunnels; n += 50)
			all.push(...await Promise.all([...Array(50)].map(() => dial())));
		console.log(`open ${all.length}`);
		for (let round = 0; round < 3; round++) {
			all.forEach((ws, n) => ws.send(`${n} ${round}`));
			const heard = await Promise.all(all.map((ws) => ws.hear()));
			heard.forEach((data, n) => assert.strictEqual(data.toString(), `${n} ${round}`));
		}
		const pongs = Promise.all(all.map((ws) => events.once(ws, "pong")));
		all.forEach((ws) => ws.ping());
		await pongs;
		if (options.held) {
			console.log("held");
			await events.once(process.stdin.resume(), "data");
		}
		await Promise.all(all.map((ws, n) => {
			ws.close(4000 + n % 1000, `${n}`);
			return closed(ws).then((got) => assert.deepStrictEqual(got, [4000 + n % 1000, `${n}`]));
		}));
	},
};

if (options.serve) {
	serve();
} else {
	whats[options.what]().then(() => {
		console.log("good");
		process.exit(0);
	}).catch((error) => {
		console.error(error);
		process.exit(1);
	});
}
