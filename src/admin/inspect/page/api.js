"use strict";
// Requests to the admin listener, with the token that the page's URL brought.
const api = (() => {
  const KEY = "countersign-inspect-token";
  let token = null;

  // A response other than a success. `final` says that the same request cannot succeed later.
  class Refused extends Error {
    constructor(status, detail) {
      super(detail);
      this.status = status;
      this.final = status === 401 || status === 403;
    }
  }

  // Takes the token from the URL's fragment, so that it stands neither in the address bar nor in the history, or from
  // the session of this tab. Returns whether there is one.
  function takeToken() {
    const fragment = location.hash.slice(1);
    if (/^[\x21-\x7e]{8,}$/.test(fragment)) {
      token = fragment;
      remember(fragment);
    } else token ??= recall();
    if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
    return token !== null;
  }

  // A browser that blocks storage keeps the token for this load of the page only.
  function remember(value) {
    try {
      sessionStorage.setItem(KEY, value);
    } catch {
      token = value;
    }
  }

  function recall() {
    try {
      return sessionStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  async function request(path, { method = "GET", json, signal } = {}) {
    const headers = { authorization: `Bearer ${token}` };
    if (json !== undefined) headers["content-type"] = "application/json";
    const body = json === undefined ? undefined : JSON.stringify(json);
    const options = { method, headers, body, signal, cache: "no-store", credentials: "omit", redirect: "error" };
    const response = await fetch(path, options);
    if (!response.ok) throw new Refused(response.status, await problem(response));
    return response;
  }

  // The sentence of a problem document, or the status.
  async function problem(response) {
    const body = await response.text().catch(() => "");
    try {
      const { detail, message, title } = JSON.parse(body);
      const sentence = detail ?? message ?? title;
      if (typeof sentence === "string" && sentence !== "") return sentence;
    } catch {
      // No JSON: the status has to do.
    }
    return `The admin listener answered ${response.status}.`;
  }

  const exchange = async (id, signal) => (await request(`/inspect/exchanges/${encodeURIComponent(id)}`, { signal })).json();
  const replay = async (json) => (await request("/inspect/replay", { method: "POST", json })).json();
  const clear = () => request("/inspect/clear", { method: "POST" });
  const har = async (id) => (await request(id === undefined ? "/inspect/har" : `/inspect/har/${encodeURIComponent(id)}`)).blob();

  return { Refused, takeToken, request, exchange, replay, clear, har };
})();
