// Asks one question over a realtime session and shows the answer piece by piece, however often the connection is cut.
//
//     await ask("wss://example.hf.space/ws", key, "my-session", "Why is the sky blue?", (kind, text) => …)
//
// `kind` is "thinking" or "stream". Resolves with the last message: `complete`, with its counts, or `stopped`.
function ask(url, key, session, question, show) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const answer = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  let next = 1;
  let attempt = 0;
  let over = false;

  return new Promise((resolve, reject) => {
    function connect() {
      // A browser sets no headers on a WebSocket: the key travels as a subprotocol, which is never echoed.
      const protocols = ["ollamaspace", "bearer." + encodeURIComponent(key)];
      const socket = new WebSocket(`${url}?session=${encodeURIComponent(session)}`, protocols);
      const send = (message) => socket.send(JSON.stringify(message));

      function finish(settle, value) {
        over = true;
        settle(value);
        socket.close();
      }

      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        if (message.type === "welcome") {
          if (message.answer === answer) send({ type: "resume", from: next, answer });
          else if (next === 1) send({ type: "chat", content: question, answer });
          else finish(reject, new Error("The server has forgotten this answer."));
        } else if (message.type === "thinking" || message.type === "stream") {
          next = message.seq + 1;
          attempt = 0;
          show(message.type, message.content);
        } else if (message.type === "complete" || message.type === "stopped") {
          finish(resolve, message);
        } else if (message.type === "error" && message.code !== "shutting_down") {
          finish(reject, new Error(message.message));
        }
      };

      socket.onclose = (event) => {
        if (over) return;
        if ([4400, 4401, 4409].includes(event.code)) reject(new Error(event.reason));
        else setTimeout(connect, Math.random() * Math.min(20000, 250 * 2 ** attempt++));
      };
    }

    connect();
  });
}
