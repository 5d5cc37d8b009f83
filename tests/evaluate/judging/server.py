"""A chat server on loopback that answers as it is told, with every fault that a real one has."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = str | None


class JudgeServer:
    """Answers with `reply(payload)`; before that, each new prompt meets the faults of `faults(payload)` in turn.

    A fault is a status ("429", "500", "400 message"), "retry-after SECONDS", "hang SECONDS", "drop", "half" (a cut
    body), "no-json", "no-choices", "refusal", "filter", or None for an answer.
    """

    def __init__(self, reply: Callable[[dict], dict], faults: Callable[[dict], list[Fault]] = lambda _: []) -> None:
        self.reply = reply
        self.faults = faults
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.answered: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.handle(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        assert handler.path == "/v1/chat/completions"
        payload = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        prompt = json.dumps(payload["messages"])
        with self._lock:
            self.requests.append(payload)
            self.headers.append(dict(handler.headers))
            turn = self.seen[prompt]
            self.seen[prompt] += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        planned = self.faults(payload)
        fault = planned[turn] if turn < len(planned) else None
        try:
            self._answer(handler, payload, fault)
        finally:
            with self._lock:
                self.at_once -= 1
        if fault is None:
            with self._lock:
                self.answered[prompt] += 1

    def _answer(self, handler: BaseHTTPRequestHandler, payload: dict, fault: Fault) -> None:
        kind, _, rest = (fault or "").partition(" ")
        if kind == "hang":
            time.sleep(float(rest))
        if kind == "drop":
            handler.connection.close()
            return
        if kind == "retry-after":
            _send(handler, 429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": rest})
        elif kind.isdigit():
            _send(handler, int(kind), json.dumps({"error": {"message": rest or "no"}}))
        elif kind == "no-json":
            _send(handler, 200, "<html>bad gateway</html>")
        elif kind == "no-choices":
            _send(handler, 200, json.dumps({"choices": []}))
        elif kind == "half":
            body = json.dumps(self.reply(payload))
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2].encode())
            handler.wfile.flush()
            handler.connection.close()
        elif kind == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I will not judge this."}
            _send(handler, 200, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))
        elif kind == "filter":
            message = {"role": "assistant", "content": ""}
            _send(handler, 200, json.dumps({"choices": [{"message": message, "finish_reason": "content_filter"}]}))
        else:
            _send(handler, 200, json.dumps(self.reply(payload)))


def said(text: str, *, ended: bool = True, logprobs: dict[str, float] | None = None, usage=(100, 10)) -> dict:
    """A chat completion that says this; `logprobs` are the alternatives of its first token."""
    choice: dict = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop" if ended else "length",
        "logprobs": None,
    }
    if logprobs is not None:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return {
        "id": "one",
        "object": "chat.completion",
        "choices": [choice],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]},
    }


def _send(handler: BaseHTTPRequestHandler, status: int, body: str, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body.encode())))
    handler.end_headers()
    try:
        handler.wfile.write(body.encode())
    except BrokenPipeError:
        return
