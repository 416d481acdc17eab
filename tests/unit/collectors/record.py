"""How ``recorded/*.json`` were made: real SDKs and instrumentations against a model server on loopback. Run by hand, not in tests.

In an environment of its own, Python 3.11:

    pip install opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-common==1.45.2 openai==3.57.0 'wrapt<2'
    pip install opentelemetry-instrumentation-openai-v2==2.3b0        # events: a log record a message
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true python record.py openai_v2 events
    python record.py openai_v2 no-content                             # its default: names and ids, no content
    pip install opentelemetry-instrumentation-openai==0.62.4          # messages: gen_ai.input.messages
    python record.py openai messages
    pip install langfuse==5.0.4 && python record.py langfuse langfuse
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

CALL = {"id": "call_1", "type": "function", "function": {"name": "read_bill", "arguments": '{"month": "March"}'}}
TURNS = ({"content": None, "tool_calls": [CALL]}, {"content": "You owe 48.00."})
TASK, RESULT = "What do I owe for March?", "48.00 to NL91ABNA0417164300"


class Model(BaseHTTPRequestHandler):
    """Asks for the tool, then answers."""

    turn = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", **TURNS[Model.turn % 2]}
        Model.turn += 1
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choices = [{"index": 0, "finish_reason": reason, "message": message}]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        said = {"id": f"c{Model.turn}", "object": "chat.completion", "created": 1, "model": "fake"}
        body = json.dumps({**said, "choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


def conversation(tracer, url):
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=url, api_key="x")
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "billing",
        "gen_ai.conversation.id": "conv-1",
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_bill",
        "gen_ai.tool.call.id": "call_1",
    }
    with tracer.start_as_current_span("invoke_agent billing", attributes=agent):
        said = [{"role": "system", "content": "You are a billing agent."}, {"role": "user", "content": TASK}]
        first = client.chat.completions.create(model="fake", messages=said).choices[0].message
        said.append(first.model_dump(exclude_none=True))
        with tracer.start_as_current_span("execute_tool read_bill", attributes=tool):
            said.append({"role": "tool", "tool_call_id": "call_1", "content": RESULT})
        client.chat.completions.create(model="fake", messages=said)


def observations(provider):
    os.environ.update(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST="http://127.0.0.1:9")
    client = importlib.import_module("langfuse").Langfuse(tracer_provider=provider)
    with client.start_as_current_observation(name="billing", as_type="agent", input=TASK):
        asked = [{"role": "user", "content": TASK}]
        with client.start_as_current_observation(name="chat", as_type="generation", model="fake", input=asked) as chat:
            chat.update(output={"role": "assistant", **TURNS[0]})
        with client.start_as_current_observation(name="read_bill", as_type="tool", input={"month": "March"}) as tool:
            tool.update(output=RESULT)


def main(what, name):
    server = HTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sdk = "opentelemetry.sdk"
    memory = importlib.import_module(f"{sdk}.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = importlib.import_module(f"{sdk}.trace").TracerProvider()
    provider.add_span_processor(importlib.import_module(f"{sdk}.trace.export").SimpleSpanProcessor(memory))
    exported = importlib.import_module(f"{sdk}._logs.export")
    logs = exported.InMemoryLogRecordExporter()
    logged = importlib.import_module(f"{sdk}._logs").LoggerProvider()
    logged.add_log_record_processor(exported.SimpleLogRecordProcessor(logs))
    if what == "langfuse":
        observations(provider)
    else:
        module = importlib.import_module(f"opentelemetry.instrumentation.{what}")
        more = {"logger_provider": logged} if what == "openai_v2" else {}
        module.OpenAIInstrumentor().instrument(tracer_provider=provider, **more)
        conversation(provider.get_tracer("app"), f"http://127.0.0.1:{server.server_port}/v1")
    otlp = "opentelemetry.exporter.otlp.proto.common"
    as_dict = importlib.import_module("google.protobuf.json_format").MessageToDict
    spans = importlib.import_module(f"{otlp}.trace_encoder").encode_spans(memory.get_finished_spans())
    with open(f"{name}-spans.json", "w") as file:
        json.dump(as_dict(spans), file)
    if logs.get_finished_logs():
        records = importlib.import_module(f"{otlp}._log_encoder").encode_logs(logs.get_finished_logs())
        with open(f"{name}-logs.json", "w") as file:
            json.dump(as_dict(records), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
