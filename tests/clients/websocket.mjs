// A WebSocket server that echoes, an MQTT broker, and clients of them: `ws` and `mqtt`.
//
//   node websocket.mjs echo            prints its port, echoes until it is stopped
//   node websocket.mjs broker          the same with MQTT
//   node websocket.mjs client URL MAX  echoes of up to MAX bytes, 0 for every kind of message; prints what went wrong
//   node websocket.mjs mqtt URL        one message through a broker
import { createRequire } from "node:module";
import { randomBytes } from "node:crypto";
import http from "node:http";

const require = createRequire(`${process.env.NODE_PATH}/`);
const WebSocket = require("ws");
const SIZES = [0, 1, 125, 126, 65535, 65536, 131072];

async function listen(handle) {
  const server = http.createServer();
  const sockets = new WebSocket.Server({
    server,
    perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => [...offered][0],
  });
  sockets.on("connection", (socket) => {
    // A client that breaks the protocol ends its connection, not the server.
    socket.on("error", () => {});
    handle(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  console.log(server.address().port);
}

function open(url, options = {}) {
  const socket = new WebSocket(url, ["chat"], options);
  const waiting = [];
  const messages = [];
  const hear = (message) => (waiting.length ? waiting.shift()(message) : messages.push(message));
  socket.on("message", (data, isBinary) => hear({ data, isBinary }));
  socket.on("pong", (data) => hear({ data, pong: true }));
  socket.on("close", (code) => hear({ code }));
  const next = () =>
    messages.length ? Promise.resolve(messages.shift()) : new Promise((resolve) => waiting.push(resolve));
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve({ socket, next }));
    socket.on("error", reject);
  });
}

function check(what, holds) {
  if (!holds) throw new Error(what);
}

async function echoes(url, max, binary, options) {
  const { socket, next } = await open(url, options);
  check("subprotocol", socket.protocol === "chat");
  for (const size of SIZES.filter((size) => size <= max)) {
    const data = binary ? randomBytes(size) : Buffer.from("ä".repeat(size / 2) + "x".repeat(size % 2));
    const pieces = 4;
    for (let piece = 0; piece < pieces; piece++) {
      const part = data.subarray((piece * size) / pieces, ((piece + 1) * size) / pieces);
      socket.send(part, { binary, fin: piece === pieces - 1 });
    }
    const echo = await next();
    check(`${size} bytes in pieces: ${echo.code}`, echo.isBinary === binary && echo.data.equals(data));
    socket.ping("between");
    const pong = await next();
    check("pong", pong.pong && pong.data.toString() === "between");
    // The frames of API Gateway have 32 KiB.
    if (size > 32768 && !binary) continue;
    socket.send(data, { binary });
    const whole = await next();
    check(`${size} bytes: ${whole.code}`, whole.isBinary === binary && whole.data.equals(data));
  }
  for (let number = 0; number < 10000; number++) socket.send(`message ${number}`, { binary });
  for (let number = 0; number < 10000; number++) {
    const { data, code } = await next();
    check(`message ${number}: ${code}`, data?.toString() === `message ${number}`);
  }
  socket.close(4000, "done");
  const { code } = await next();
  check(`close ${code}`, code === 4000);
}

async function client(url, max) {
  for (const perMessageDeflate of [false, true]) {
    await echoes(url, max, false, { perMessageDeflate });
    // API Gateway takes text alone.
    if (process.argv[5] !== "text") await echoes(url, max, true, { perMessageDeflate });
  }
  console.log("fine");
}

async function broker() {
  const { Aedes } = require("aedes");
  const aedes = await Aedes.createBroker();
  await listen((socket) => aedes.handle(WebSocket.createWebSocketStream(socket)));
}

async function mqtt(url) {
  const connection = await require("mqtt").connectAsync(url, { protocolVersion: 4 });
  await connection.subscribeAsync("topic");
  const message = new Promise((resolve) => connection.on("message", (_, payload) => resolve(payload.toString())));
  await connection.publishAsync("topic", "x".repeat(100000));
  check("message", (await message).length === 100000);
  await connection.endAsync();
  console.log("fine");
}

const [mode, url, max] = process.argv.slice(2);
const modes = {
  echo: () =>
    listen((socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))),
  broker,
  client: () => client(url, Number(max)),
  mqtt: () => mqtt(url),
};
await modes[mode]();
