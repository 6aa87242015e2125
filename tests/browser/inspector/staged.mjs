// Exchanges as the admin listener describes them.

let made = 0;
const begin = Date.parse("2026-11-28T14:03:07.120Z");

export function exchange(given = {}) {
  made += 1;
  const { method = "GET", path = "/orders", query = "limit=20" } = given;
  const headers = [["host", "localhost:8181"], ["accept", "*/*"], ["user-agent", "curl/8.14.1"], ["authorization", "[redacted]"], ...(given.more_headers ?? [])];
  const sent = [["host", "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"], ["accept", "*/*"], ["user-agent", "curl/8.14.1"], ["x-amz-date", "20261128T140307Z"], ["x-amz-security-token", "[redacted]"], ["authorization", "[redacted]"], ...(given.more_headers ?? [])];
  const upstream = [["content-type", "application/json"], ["content-length", "58"], ["x-amzn-requestid", "6d3f1d0e-2f4b-4b8e-9d0c-0a1b2c3d4e5f"], ["server", "awselb"], ["set-cookie", "[redacted]"]];
  const down = [["content-type", "application/json"], ["content-length", "58"], ["x-amzn-requestid", "6d3f1d0e-2f4b-4b8e-9d0c-0a1b2c3d4e5f"], ["set-cookie", "[redacted]"], ["content-security-policy", "sandbox"]];
  const canonical = [method, `/prod${path}`, query, "accept:*/*", "host:a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "x-amz-date:20261128T140307Z", "x-amz-security-token:[redacted]", "", "accept;host;x-amz-date;x-amz-security-token", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"];
  const { more_headers, ...rest } = given;
  return {
    id: `0f3c${String(made).padStart(8, "0")}`,
    revision: 1,
    started: new Date(begin + made * 731).toISOString(),
    method,
    path,
    query,
    http: "1.1",
    origin: "upstream",
    status: 200,
    state: "complete",
    bytes_up: 0,
    bytes_down: 58,
    duration_ms: 48.2,
    timing: { queue: 0.1, credentials: 0.3, connect: 12.4, send: 0.2, wait: 34.1, receive: 1.1 },
    attempts: [{ number: 1, status: 200, upstream: "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/prod", connection: "new", region: "eu-central-1", service: "execute-api", access_key_id: "…7QXM", signed_headers: ["accept", "host", "x-amz-date", "x-amz-security-token"], signed_at: "20261128T140307Z" }],
    identity: { username: "ada@example.com", identity_id: "eu-central-1:1f0c4a52-7d3e-4a1b-9c55-0f8b2f6f7c11" },
    upstream_request_id: "6d3f1d0e-2f4b-4b8e-9d0c-0a1b2c3d4e5f",
    request_headers: headers,
    sent_headers: sent,
    upstream_headers: upstream,
    response_headers: down,
    canonical_request: canonical.join("\n"),
    string_to_sign: "AWS4-HMAC-SHA256\n20261128T140307Z\n20261128/eu-central-1/execute-api/aws4_request\n5d1d3c6a0c9f1f5c1b6a2b9d7f1d2a90c4c38d6f40a1b9b5b1f0e7c2d8a6e4f3",
    request_body: { size: 0 },
    response_body: { text: '{"items":[{"id":"o-1","item":"tea","price":12345678901234567890}],"next":null}', size: 78, truncated: false, media_type: "application/json" },
    curl: "curl 'http://localhost:8181/orders?limit=20'",
    call: "countersign call '/orders?limit=20'",
    fetch: 'await fetch("http://localhost:8181/orders?limit=20")',
    ...rest,
  };
}

const policy = JSON.stringify({ Effect: "Allow", Action: "execute-api:Invoke", Resource: "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/DELETE/orders/*" });

export const denied = () =>
  exchange({
    method: "DELETE", path: "/orders/o-17", query: "", status: 403, duration_ms: 61.7,
    meaning: {
      name: "access-denied",
      cause: "the role app-authenticated may not call DELETE /orders/o-17: no policy of the role allows it",
      cure: "add the statement to a policy of the role, or sign in as a user with another role",
      policy, principal: "arn:aws:sts::123456789012:assumed-role/app-authenticated/CognitoIdentityCredentials", action: "execute-api:Invoke",
      resource: "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/DELETE/orders/o-17",
    },
  });

export const differs = () =>
  exchange({
    path: "/search", query: "q=tea%20pot", status: 403, duration_ms: 55.3,
    meaning: {
      name: "signature-differs",
      cause: "the gateway received another request than was signed; these parts differ: query, header accept, header x-trace",
      cure: "let no hop on the way add parameters to the query or encode it anew",
      difference: [
        { part: "query", ours: "q=tea%20pot", theirs: "q=tea+pot" },
        { part: "header accept", ours: "*/*", theirs: "*/*, text/html" },
        { part: "header x-trace", theirs: "1-5e1b4f" },
      ],
    },
  });

export const crossSite = () =>
  exchange({
    method: "POST", path: "/orders", query: "", status: 403, origin: "proxy", code: "cross-site", page_origin: "https://evil.example", duration_ms: 0.4, attempts: [], identity: undefined,
    timing: { queue: null, credentials: null, connect: null, send: null, wait: null, receive: null }, upstream_headers: [], sent_headers: [], upstream_request_id: undefined, canonical_request: undefined, string_to_sign: undefined,
    response_headers: [["content-type", "application/problem+json"], ["proxy-status", "countersign; error=http_request_denied"]],
    meaning: { name: "cross-site", cause: "a page of https://evil.example sent this request, and that origin is not allowed", cure: "if the page is yours, add --allow-origin https://evil.example" },
  });

export const retried = () => {
  const made = exchange({ path: "/profile", query: "", duration_ms: 412 });
  const [attempt] = made.attempts;
  made.attempts = [
    { ...attempt, status: 403 },
    { ...attempt, number: 2, connection: "reused", reason: "the gateway said that the credentials had expired; they were refreshed" },
  ];
  return made;
};

export const hostile = () =>
  exchange({
    method: "POST", path: "/<img src=x onerror=alert(1)>\u202e/gpj", query: "u=javascript:alert(2)&x=\ud800", status: 500, bytes_up: 65536, duration_ms: 29_004,
    more_headers: [["x-html", "<script>alert(3)</script>"], ["x-rtl", "\u202eevil\u2066"]],
    meaning: { name: "<b>name</b>", cause: "<script>alert(4)</script>\u202e", cure: "javascript:alert(5)", policy: '{"a":"<script>alert(6)</script>"}' },
    request_body: { text: `<script>alert(7)</script>${"x".repeat(65_000)}`, size: 10_000_000, truncated: true, media_type: "text/html" },
    response_body: { text: `{"a":"\u202e\ud800 \\udfff<script>alert(8)</script>","b":"${"y".repeat(60_000)}"}`, size: 61_000, truncated: false, media_type: "application/json" },
    curl: "curl 'http://localhost:8181/' --data-raw $'a\\'b\\n$(id)'",
  });

// A WebSocket with one message of each kind, and further `texts`.
export function websocket(texts = [], given = {}) {
  const kept = [
    { direction: "up", opcode: 1, size: 17, text: '{"action":"list"}', truncated: false },
    { direction: "down", opcode: 1, size: 200, text: `{"items":[${"1,".repeat(95)}1]}`, truncated: false },
    { direction: "up", opcode: 2, size: 4096, omitted: "binary" },
    { direction: "down", opcode: 1, size: 30, omitted: "encoded" },
    { direction: "down", opcode: 9, size: 0, text: "", truncated: false },
    ...texts.map((text) => ({ direction: "down", opcode: 1, size: text.length, text, truncated: text.length > 60_000 })),
  ].map((message, at) => ({ time: new Date(begin + at * 1000).toISOString(), ...message }));
  return exchange({
    path: "/live", query: "", status: 101, state: "active", bytes_up: 4113, bytes_down: 230,
    websocket: { state: "open", messages_up: 2, messages_down: 3 + texts.length },
    messages: { forgotten: 1200, kept },
    ...given,
  });
}

const METHODS = ["GET", "GET", "POST", "PUT", "GET", "DELETE"];
const PATHS = ["/orders", "/orders/o-17/items", "/profile", "/search", "/reports/2026/11", "/uploads"];

// An ordinary mixture for figures and pictures.
export function ordinary(count) {
  return Array.from({ length: count }, (_, index) => {
    if (index % 17 === 16) return denied();
    if (index % 29 === 28) return crossSite();
    const status = [200, 200, 201, 200, 304, 404][index % 6];
    return exchange({ method: METHODS[index % 6], path: PATHS[(index * 5) % 6], query: index % 3 ? "" : `page=${index}`, status, duration_ms: 3 + ((index * 37) % 900) });
  });
}

export const ended = () => exchange({ path: "/reports/large", query: "", status: 200, state: "aborted", aborted: "the client closed the connection", duration_ms: 1840 });
export const active = () => exchange({ path: "/events", query: "", status: null, origin: null, state: "active", duration_ms: 0 });
