// Sends the tries on stdin with `fetch` or `http`, the first argument, and prints the answer to each.
import { request } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

const PIECE = Buffer.alloc(65_536);
const LONGEST = 10_000;

function* pieces(size) {
  for (let left = size; left > 0; left -= PIECE.length) yield PIECE.subarray(0, Math.min(left, PIECE.length));
}

async function byFetch({ url, size, chunked, headers }) {
  const body = chunked ? Readable.toWeb(Readable.from(pieces(size))) : Buffer.alloc(size);
  const signal = AbortSignal.timeout(LONGEST);
  const response = await fetch(url, { method: "POST", headers, body, duplex: "half", signal });
  return [response.status, await response.json()];
}

function byHttp({ url, size, chunked, headers }) {
  return new Promise((answered, failed) => {
    const framing = chunked ? { "transfer-encoding": "chunked" } : { "content-length": size };
    const options = { method: "POST", agent: false, headers: { ...headers, ...framing }, timeout: LONGEST };
    const sent = request(url, options, async (response) => {
      try {
        answered([response.statusCode, await new Response(Readable.toWeb(response)).json()]);
      } catch (error) {
        failed(error);
      }
    });
    sent.on("error", failed);
    Readable.from(pieces(size)).pipe(sent);
  });
}

const send = { fetch: byFetch, http: byHttp }[process.argv[2]];
for await (const line of createInterface({ input: process.stdin })) {
  const [url, size, framing, ...fields] = line.split("\t");
  const headers = Object.fromEntries(fields.map((field) => field.split(": ")));
  try {
    const [status, problem] = await send({ url, size: Number(size), chunked: framing === "chunked", headers });
    console.log(`${status} ${problem.code}`);
  } catch (error) {
    console.log(String(error.cause ?? error).split("\n")[0]);
  }
}
