// Runs in an attacker's page: every way in which a page can make a browser send a request.
// `base` is the server to attack; each attack asks for a path of its own below /attack/.
async (base) => {
  const soon = (promise) =>
    Promise.race([Promise.resolve(promise).catch(() => {}), new Promise((done) => setTimeout(done, 2000))]);
  const done = [];
  const url = (name) => `${base}/attack/${name}`;
  const json = { "content-type": "application/json", "x-custom": "1" };
  const attempts = {
    "fetch-cors": (u) => fetch(u),
    "fetch-cors-json": (u) => fetch(u, { method: "POST", headers: json, body: "{}" }),
    "fetch-cors-put": (u) => fetch(u, { method: "PUT", body: "x" }),
    "fetch-cors-delete": (u) => fetch(u, { method: "DELETE" }),
    "fetch-cors-credentials": (u) => fetch(u, { credentials: "include" }),
    "fetch-no-cors": (u) => fetch(u, { mode: "no-cors" }),
    "fetch-no-cors-post": (u) => fetch(u, { mode: "no-cors", method: "POST", body: "x" }),
    "fetch-no-cors-head": (u) => fetch(u, { mode: "no-cors", method: "HEAD" }),
    "fetch-no-referrer": (u) => fetch(u, { mode: "no-cors", referrerPolicy: "no-referrer" }),
    "fetch-keepalive": (u) => fetch(u, { mode: "no-cors", method: "POST", keepalive: true, body: "x" }),
    beacon: (u) => navigator.sendBeacon(u, "x"),
    xhr: (u) =>
      new Promise((end) => {
        const request = new XMLHttpRequest();
        request.onloadend = end;
        request.open("POST", u);
        request.send("x");
      }),
    worker: (u) =>
      new Promise((end) => {
        const text = `fetch(${JSON.stringify(u)}, {mode: "no-cors"}).finally(() => postMessage(0))`;
        new Worker(URL.createObjectURL(new Blob([text]))).onmessage = end;
      }),
    websocket: (u) =>
      new Promise((end) => {
        const socket = new WebSocket(u.replace("http", "ws"));
        socket.onopen = socket.onerror = end;
      }),
    "websocket-protocols": (u) =>
      new Promise((end) => {
        const socket = new WebSocket(u.replace("http", "ws"), ["chat", "graphql-ws"]);
        socket.onopen = socket.onerror = end;
      }),
    "websocket-worker": (u) =>
      new Promise((end) => {
        const text = `const s = new WebSocket(${JSON.stringify(u.replace("http", "ws"))}); s.onopen = s.onerror = () => postMessage(0)`;
        new Worker(URL.createObjectURL(new Blob([text]))).onmessage = end;
      }),
    "event-source": (u) =>
      new Promise((end) => {
        const source = new EventSource(u);
        source.onopen = source.onerror = () => end(source.close());
      }),
  };
  const element = (tag, attributes) => (u) =>
    new Promise((end) => {
      const made = document.createElement(tag);
      made.onload = made.onerror = end;
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value === "URL" ? u : value);
      document.body.append(made);
    });
  attempts.image = element("img", { src: "URL" });
  attempts["image-no-referrer"] = element("img", { src: "URL", referrerpolicy: "no-referrer" });
  attempts["image-cors"] = element("img", { src: "URL", crossorigin: "anonymous" });
  attempts.script = element("script", { src: "URL" });
  attempts.module = element("script", { src: "URL", type: "module" });
  attempts.style = element("link", { href: "URL", rel: "stylesheet" });
  attempts.prefetch = element("link", { href: "URL", rel: "prefetch" });
  attempts.video = element("video", { src: "URL", preload: "auto" });
  attempts.iframe = element("iframe", { src: "URL" });
  attempts["iframe-sandboxed"] = element("iframe", { src: "URL", sandbox: "allow-scripts" });
  attempts.object = element("object", { data: "URL" });
  attempts.embed = element("embed", { src: "URL" });
  const speculation = (kind, rule) => (u) => {
    const script = document.createElement("script");
    script.type = "speculationrules";
    script.textContent = JSON.stringify({ [kind]: [{ urls: [u], eagerness: "immediate", ...rule }] });
    document.head.append(script);
    return new Promise(() => {});
  };
  if (HTMLScriptElement.supports?.("speculationrules")) {
    attempts["speculation-prefetch"] = speculation("prefetch", {});
    attempts["speculation-prefetch-no-referrer"] = speculation("prefetch", { referrer_policy: "no-referrer" });
    attempts["speculation-prerender"] = speculation("prerender", {});
    attempts["speculation-prerender-no-referrer"] = speculation("prerender", { referrer_policy: "no-referrer" });
  }
  if (window.IdentityCredential) {
    attempts.fedcm = (u) =>
      navigator.credentials.get({ identity: { providers: [{ configURL: u, clientId: "1", nonce: "1" }] } });
  }
  attempts.ping = (u) => {
    const link = document.createElement("a");
    Object.assign(link, { href: "#ping", ping: u });
    document.body.append(link);
    link.click();
  };
  attempts["opaque-origin"] = (u) =>
    element("iframe", {
      sandbox: "allow-scripts allow-forms",
      srcdoc: `<form method=post enctype=text/plain action="${u}"><input name=a></form>
        <script>fetch("${u}-fetch", {mode: "no-cors", method: "POST"}); document.forms[0].submit()</script>`,
    })();
  const handshake = (u) => `<script>new WebSocket("${u.replace("http", "ws")}")</script>`;
  attempts["websocket-opaque-origin"] = (u) =>
    element("iframe", { sandbox: "allow-scripts", srcdoc: handshake(u) })().then(() => new Promise(() => {}));
  attempts["websocket-data-url"] = (u) =>
    element("iframe", { src: `data:text/html,${encodeURIComponent(handshake(u))}` })().then(() => new Promise(() => {}));
  for (const [name, method, enctype] of [
    ["form-plain", "post", "text/plain"],
    ["form-multipart", "post", "multipart/form-data"],
    ["form-get", "get", ""],
  ]) {
    attempts[name] = (u) => {
      const frame = document.createElement("iframe");
      frame.name = name;
      document.body.append(frame);
      const form = document.createElement("form");
      Object.assign(form, { method, enctype, action: u, target: name });
      const field = document.createElement("input");
      Object.assign(field, { name: '{"a":"', value: '"}' });
      form.append(field);
      document.body.append(form);
      form.submit();
      return new Promise((end) => (frame.onload = end));
    };
  }
  await Promise.all(
    Object.entries(attempts).map(async ([name, attempt]) => {
      await soon((async () => attempt(url(name)))());
      done.push(name);
    }),
  );
  return done;
}
