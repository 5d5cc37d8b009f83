"""A completions server over transformers that speaks vLLM's form: token-id prompts, `echo` with `logprobs`, `stop`.

`python reference_server.py MODEL --port PORT --dtype DTYPE`, with faults on demand: `--without echo` (or `ids`) does as
if it did not know them, `--fail-first N` answers the first N questions with 503.
"""

import argparse

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from transformers import AutoModelForCausalLM, AutoTokenizer

VERSION = "1.2.3"


def serve(words: argparse.Namespace) -> FastAPI:
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(words.model, dtype=getattr(torch, words.dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(words.model)
    app = FastAPI()
    asked = 0

    @app.get("/health")
    def health() -> dict[str, str]:
        return {}

    @app.get("/version")
    def version() -> dict[str, str]:
        return {"version": VERSION}

    @app.post("/v1/completions")
    async def completions(request: Request) -> JSONResponse:
        nonlocal asked
        asked += 1
        body = await request.json()
        if asked <= words.fail_first:
            return JSONResponse({"error": {"message": "busy"}}, 503)
        if body["model"] != words.model:
            return JSONResponse({"error": {"message": f"no model {body['model']}"}}, 404)
        prompt = body["prompt"]
        if not isinstance(prompt, str) and "ids" in words.without:
            return JSONResponse({"detail": "prompt must be a string"}, 400)
        ids = tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
        if len(ids) + body["max_tokens"] > model.config.max_position_embeddings:
            return JSONResponse({"error": {"message": f"{len(ids)} tokens are too many"}}, 400)
        choice: dict[str, object] = {"index": 0, "finish_reason": "length"}
        with torch.inference_mode():
            written, text = _greedy(model, tokenizer, ids, body)
            if body.get("echo") and "echo" not in words.without:
                told = model(torch.tensor([[*ids, *written]])).logits[0].float().log_softmax(-1)
                both = [*ids, *written]
                values = [None, *(float(told[place - 1, both[place]]) for place in range(1, len(both)))]
                choice["logprobs"] = {"token_logprobs": values}
        return JSONResponse({"choices": [{**choice, "text": text}]})

    return app


def _greedy(model, tokenizer, ids: list[int], body: dict) -> tuple[list[int], str]:
    """One token after another over the whole text each time: nothing shared with what is tested."""
    assert body["temperature"] == 0
    ends = {tokenizer.eos_token_id, *body.get("stop_token_ids", [])}
    written: list[int] = []
    text = ""
    while len(written) < body["max_tokens"]:
        token = int(model(torch.tensor([[*ids, *written]])).logits[0, -1].argmax())
        if token in ends:
            break
        written.append(token)
        text = tokenizer.decode(written, skip_special_tokens=True)
        if any(stop in text for stop in body.get("stop", [])):
            break
    return written, text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--without", default="")
    parser.add_argument("--fail-first", type=int, default=0)
    words = parser.parse_args()
    uvicorn.run(serve(words), host="127.0.0.1", port=words.port, log_level="warning")


if __name__ == "__main__":
    main()
