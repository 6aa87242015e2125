"use strict";
// Reads the feed of exchanges, and connects again when it breaks off.
const feed = (() => {
  const MIN_PAUSE = 500;
  const MAX_PAUSE = 10_000;
  // The server writes at least every 15 s; a laptop that slept leaves a connection on which nothing comes any more.
  const MAX_SILENCE = 40_000;
  const MAX_LINE = 8 * 1024 * 1024;

  let round = 0;
  let controller = null;
  let endPause = () => {};

  // Calls `onmessage` for each message and `onstate` with {kind: "live" | "disconnected" | "refused", since, reason}.
  // A second call ends the first one's connection.
  async function open(onmessage, onstate) {
    round += 1;
    const mine = round;
    controller?.abort();
    endPause();
    let pause = MIN_PAUSE;
    let since = null;
    while (mine === round) {
      let reason = "The program closed the connection.";
      try {
        await readOnce((message) => {
          if (mine !== round) return;
          pause = MIN_PAUSE;
          since = null;
          if (message.type === "hello") onstate({ kind: "live" });
          onmessage(message);
        });
      } catch (error) {
        if (mine !== round) return;
        if (error instanceof api.Refused && error.final) return onstate({ kind: "refused", reason: error.message });
        if (error instanceof api.Refused) reason = error.message;
      }
      if (mine !== round) return;
      since ??= new Date();
      onstate({ kind: "disconnected", since, reason });
      await sleep(pause * (0.75 + Math.random() / 2));
      pause = Math.min(pause * 2, MAX_PAUSE);
    }
  }

  async function readOnce(onmessage) {
    controller = new AbortController();
    const { signal } = controller;
    const abort = () => controller.abort();
    let silence = setTimeout(abort, MAX_SILENCE);
    try {
      const response = await api.request("/inspect/feed", { signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let line = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(abort, MAX_SILENCE);
        const parts = value.split("\n");
        for (const part of parts.slice(0, -1)) {
          const whole = (line + part).trim();
          line = "";
          if (whole !== "") onmessage(JSON.parse(whole));
        }
        line += parts.at(-1);
        if (line.length > MAX_LINE) throw new Error("a line of the feed is too long");
      }
    } finally {
      clearTimeout(silence);
      controller.abort();
    }
  }

  function sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // Tries at once: the network or the person is back.
  const hurry = () => endPause();

  return { open, hurry };
})();
