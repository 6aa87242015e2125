// Documents of an API that attacks whoever opens them: what they ask for below /attack/ is for the proxy to sign.
// A Refresh header is not among them: it is a redirect, which an API can also send as Location.

const script = `
  fetch("/attack/read").then((answer) => answer.text()).then((body) => fetch("/attack/post", { method: "POST", body }));
  navigator.sendBeacon("/attack/beacon", "x");
  new Image().src = "/attack/image";
`;
const markup = `
  <img src="/attack/markup-image"/>
  <iframe src="/attack/markup-frame"></iframe>
  <script src="/attack/markup-script"></script>
  <form method="post" action="/attack/markup-form"><button autofocus="autofocus">go</button></form>
`;
const head = `<meta http-equiv="refresh" content="1;url=/attack/meta-refresh"/><link rel="prefetch" href="/attack/prefetch"/>`;
const html = `<!doctype html><title>hostile</title>${head}<body>${markup}<script>${script}</script>`;
const xhtml = `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>hostile</title>${head}</head>
  <body>${markup}<script><![CDATA[${script}]]></script></body></html>`;
const svg = `<svg xmlns="http://www.w3.org/2000/svg"><script><![CDATA[${script}]]></script></svg>`;
const links = `</attack/link-preload>; rel=preload; as=image, </attack/link-prefetch>; rel=prefetch`;

const of = (type, body, more = {}) => ({ headers: { ...(type ? { "content-type": type } : {}), ...more }, body });

export const documents = {
  "/hostile/html": of("text/html", html),
  "/hostile/html-twice": of(["text/plain", "text/html"], html),
  "/hostile/html-in-a-list": of("application/json, text/html", html),
  "/hostile/untyped": of("", html),
  "/hostile/svg": of("image/svg+xml", svg),
  "/hostile/xml": of("text/xml", xhtml),
  "/hostile/xhtml": of("application/xhtml+xml", xhtml),
  "/hostile/feed": of("application/rss+xml", xhtml),
  "/hostile/parts": of("multipart/x-mixed-replace;boundary=x", `--x\r\ncontent-type: text/html\r\n\r\n${html}\r\n--x--`),
  "/hostile/links": of("text/html", "<!doctype html><title>links</title>", { link: links }),
};
